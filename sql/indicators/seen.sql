-- grain: referred children; left out: no visit is to come, as the child died or the referral was recalled or declined; numerator = seen by the PMPC
select 'seen' as indicator_id, kato2, birth_year, sex_code, 'all' as stratum, 'all' as age_band, not (is_seen or is_awaited) as is_excluded,
    is_seen as is_counted
from pathway
where is_referred
