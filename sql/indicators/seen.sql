-- grain: referred children, numerator = seen by the PMPC
select 'seen' as indicator_id, kato2, birth_year, sex_code, 'all' as stratum, 'all' as age_band, is_dead as is_excluded, is_seen as is_counted
from pathway
where is_referred
