-- grain: referred children, numerator = nobody came, or no word 60 days after the feed, died is not lost
select 'lost_to_follow_up' as indicator_id, kato2, birth_year, sex_code, 'all' as stratum, 'all' as age_band, is_dead as is_excluded,
    is_unattended or is_overdue as is_counted
from pathway
where is_referred
