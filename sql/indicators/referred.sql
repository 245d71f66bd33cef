-- grain: flagged children with a consent given, numerator = sent to a PMPC
select 'referred' as indicator_id, kato2, birth_year, sex_code, 'all' as stratum, 'all' as age_band, coalesce(place = 'closed', false) and not is_referred as is_excluded,
    is_referred as is_counted
from pathway
where is_flagged and consent = 'given'
