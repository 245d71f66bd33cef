-- grain: referred children but those of whom no visit is to come, numerator = nobody came, or no visit 60 days after the feed
select 'lost_to_follow_up' as indicator_id, kato2, birth_year, sex_code, 'all' as stratum, 'all' as age_band,
    not (is_seen or is_awaited) as is_excluded, is_unattended or is_overdue as is_counted
from pathway
where is_referred
