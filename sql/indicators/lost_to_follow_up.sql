-- grain: referred children, numerator = nobody came, or no word 60 days after the feed, died is not lost
select 'lost_to_follow_up' as indicator_id, kato2, birth_year, sex_code, 'all' as stratum, is_dead as is_excluded, is_lost as is_counted
from (
    select kato2, birth_year, sex_code, is_dead,
        is_unattended or (not is_seen and age_months * 30.44 - flagged_age_days - referred_delay_days > 60) as is_lost
    from pathway
    where is_referred
)
