-- grain: children by programme: living long enough to be screened, numerator = whose results decide
select 'coverage' as indicator_id, kato2, birth_year, sex_code, programme as stratum, 'all' as age_band, is_dead as is_excluded, 
    coalesce(verdict <> 'undecided', false) as is_counted
from pathway_programme
where is_due and is_meant
