-- grain: one row a maternity organisation and month of birth
with flagged as (
    select distinct child_key from known_flag
),

screened as (
    select distinct child_key from known_verdict
)

select
    birth.maternity_id as facility_id,
    date_trunc('month', birth.birth_on)::date as month,
    any_value(facility.facility_kind) as facility_kind,
    any_value(facility.kato4) as kato4,
    count(*) as birth_count,
    count(flagged.child_key) as flagged_count,
    count(screened.child_key) as screened_count
from known_birth as birth
left join flagged using (child_key)
left join screened using (child_key)
left join register_facility as facility on facility.facility_id = birth.maternity_id
where not birth.is_cancelled
group by birth.maternity_id, date_trunc('month', birth.birth_on)
