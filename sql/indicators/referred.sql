-- grain: flagged children with a consent in force, numerator = with a flag that was sent to a PMPC
select 'referred' as indicator_id, kato2, birth_year, sex_code, 'all' as stratum, 'all' as age_band,
    coalesce(place = 'closed', false) and referred_delay_days is null as is_excluded, referred_delay_days is not null as is_counted
from pathway
where is_flagged and consent = 'given'
