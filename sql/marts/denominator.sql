-- grain: one row a region (with the unknown one and the nation) and a year of births in the spine or declared
with spine as (
    select coalesce(kato2, 'unknown') as kato2, birth_year, count(*) as spine_births, count(*) filter (kato2 is null and kato4 is not null) as unplaced_births
    from pathway
    group by all
),

returned as (  -- of two senders of one count the later version
    select
        coalesce(facility_id, sender_id) as facility_id,
        period_month,
        arg_max(child_count, row(version_at, version_rank, content_hash)) as child_count
    from known_aggregate
    where annex = '7' and measure = 'target' and not is_cancelled
    group by all
),

declared as (
    select
        coalesce(region.kato2, 'unknown') as kato2,
        year(returned.period_month) as birth_year,
        sum(returned.child_count)::bigint as declared_births,
        count(distinct returned.facility_id) as declaring_count
    from returned
    left join register_facility as facility on facility.facility_id = returned.facility_id
    left join region on region.kato2 = left(facility.kato4, 2)
    group by all
),

registered as (
    select
        kato2,
        year - case age_band when '0' then 1 else 0 end as birth_year,
        sum(child_count) filter (age_band = 'births')::bigint as bureau_births,
        sum(child_count) filter (age_band = '0')::bigint as register_children,
        string_agg(distinct source, ', ' order by source) as source
    from register_population
    where age_band in ('0', 'births')
    group by all
),

side_by_side as (
    select
        kato2,
        birth_year,
        coalesce(spine.spine_births, 0) as spine_births,
        coalesce(spine.unplaced_births, 0) as unplaced_births,
        declared.declared_births,
        coalesce(declared.declaring_count, 0) as declaring_count,
        registered.bureau_births,
        registered.register_children,
        registered.source
    from spine
    full join declared using (kato2, birth_year)
    full join registered using (kato2, birth_year)
    where birth_year in (select birth_year from spine union select birth_year from declared)
)

select  -- a nation's figure of a register is that of all its regions, or none
    coalesce(kato2, 'KZ') as kato2,
    birth_year,
    sum(spine_births)::bigint as spine_births,
    sum(unplaced_births)::bigint as unplaced_births,
    sum(declared_births)::bigint as declared_births,
    sum(declaring_count)::bigint as declaring_count,
    case when grouping(kato2) = 0 or count(bureau_births) = count(*) filter (kato2 <> 'unknown') then sum(bureau_births)::bigint end as bureau_births,
    case when grouping(kato2) = 0 or count(register_children) = count(*) filter (kato2 <> 'unknown') then sum(register_children)::bigint
        end as register_children,
    string_agg(distinct source, ', ' order by source) as source
from side_by_side
group by grouping sets ((kato2, birth_year), (birth_year))
