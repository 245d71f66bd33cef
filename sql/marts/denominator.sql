-- grain: one row a region and year of birth
with spine as (
    select kato2, birth_year, count(*) as spine_births
    from pathway
    where kato2 is not null
    group by kato2, birth_year
),

registered as (
    select kato2, year as birth_year, sum(child_count)::bigint as register_children
    from register_population
    where age_band = '0'
    group by kato2, year
)

select spine.kato2, spine.birth_year, spine.spine_births, registered.register_children
from spine
left join registered using (kato2, birth_year)
