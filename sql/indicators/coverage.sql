-- grain: children by programme: living long enough to be screened, numerator = with a usable examination
select 'coverage' as indicator_id, kato2, birth_year, sex_code, programme as stratum, 'all' as age_band, is_dead as is_excluded, verdict is not null as is_counted
from pathway_programme
where is_due and is_meant
