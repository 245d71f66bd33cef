-- grain: one row an organisation, its role (maternity: born there; phc: attached there) and month of birth
with flagged as (
    select distinct child_key from known_flag
),

screened as (
    select distinct child_key from known_verdict where first_examined_on is not null
),

member as (
    select child_key, maternity_id as facility_id, 'maternity' as role, date_trunc('month', birth_on)::date as month
    from known_birth
    where not is_cancelled
    union all
    select child_key, phc_id, 'phc', date_trunc('month', birth_on)::date
    from known_birth
    where not is_cancelled and phc_id is not null
)

select
    member.facility_id,
    member.role,
    member.month,
    any_value(facility.facility_kind) as facility_kind,
    any_value(facility.kato4) as kato4,
    count(*) as birth_count,
    count(flagged.child_key) as flagged_count,
    count(screened.child_key) as screened_count
from member
left join flagged using (child_key)
left join screened using (child_key)
left join register_facility as facility on facility.facility_id = member.facility_id
group by member.facility_id, member.role, member.month
