-- grain: flagged children by state of the consent, numerator = in that state
with decision as (
    select unnest(['given', 'refused', 'withdrawn', 'pending']) as stratum
)

select 'consent' as indicator_id, kato2, birth_year, sex_code, stratum, 'all' as age_band, 
    is_dead or (consent = 'pending' and coalesce(place = 'closed', false)) as is_excluded, consent = stratum as is_counted
from pathway, decision
where is_flagged
