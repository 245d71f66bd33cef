-- grain: children examined in a programme, numerator = whose first examination was not clear
select 'refer_rate' as indicator_id, kato2, birth_year, sex_code, programme as stratum, 'all' as age_band, verdict = 'undecided' as is_excluded, is_positive as is_counted
from pathway_programme
where verdict is not null
