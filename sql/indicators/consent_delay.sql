-- grain: children flagged 30 days before the month began, by state of the consent, numerator = first decided on, or still waiting, after more than 30 days
select 'consent_delay' as indicator_id, kato2, birth_year, sex_code, unnest(['all', consent]) as stratum, 'all' as age_band,
    is_dead or (consent = 'pending' and coalesce(place = 'closed', false)) or not is_consent_due as is_excluded, is_consent_late as is_counted
from pathway
where is_flagged
