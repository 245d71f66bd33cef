-- grain: children referred 60 days ago but those of whom no visit is to come, numerator = no visit until now
select 'lost_to_follow_up' as indicator_id, kato2, birth_year, sex_code, 'all' as stratum, 'all' as age_band,
    not is_visit_due or not (is_seen or is_awaited) as is_excluded, is_overdue as is_counted
from pathway
where is_referred
