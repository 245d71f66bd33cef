-- grain: children referred 60 days ago but those of whom no visit is to come (died, recalled, declined), numerator = seen by the PMPC
select 'seen' as indicator_id, kato2, birth_year, sex_code, 'all' as stratum, 'all' as age_band,
    not is_visit_due or not (is_seen or is_awaited) as is_excluded, is_seen as is_counted
from pathway
where is_referred
