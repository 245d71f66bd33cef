-- grain: one row a region, and the nation, and a year of the population register
with children as (
    select kato2, year, sum(child_count)::bigint as child_count, string_agg(distinct source, ', ' order by source) as source
    from register_population
    where age_band = '0-17'
    group by kato2, year
),

served as (
    select children.kato2, children.year, count(distinct pmpc.pmpc_id) as pmpc_count
    from children
    left join (
        register_pmpc as pmpc
        inner join register_catchment as catchment using (pmpc_id)
    )
        on left(pmpc.kato4, 2) = children.kato2
        and catchment.valid_from <= least(make_date(children.year, 12, 31), known_on())
        and coalesce(catchment.valid_to >= least(make_date(children.year, 12, 31), known_on()), true)
    where children.year <= year(known_on())
    group by children.kato2, children.year
)

select
    coalesce(kato2, 'KZ') as kato2,
    year,
    sum(pmpc_count)::bigint as pmpc_count,
    sum(child_count)::bigint as child_count,
    children_per_pmpc() as norm,
    sum(pmpc_count) / nullif(sum(child_count), 0) * children_per_pmpc() as pmpc_per_norm,
    ceil(sum(child_count) / children_per_pmpc())::bigint as pmpc_needed,
    string_agg(distinct source, ', ' order by source) as source
from children
inner join served using (kato2, year)
group by grouping sets ((kato2, year), (year))
