-- grain: children of the spine by category of LAW343 and by age band, numerator = confirmed by a PMPC
with category as (
    select unnest(['all', 'physical', 'mental', 'complex', 'severe', 'sensory', 'speech', 'emotional_volitional', 'brain_damage',
        'intellectual', 'developmental_delay', 'under 1', '1 year', '2 years']) as stratum
)

select 'impairment' as indicator_id, kato2, birth_year, sex_code, stratum,
    case stratum when 'under 1' then age_months >= 12 when '1 year' then age_months not between 12 and 23 when '2 years'
        then age_months not between 24 and 35 else false end as is_excluded,
    case stratum
        when 'all' then coalesce(impairment <> 'none', false)
        when 'physical' then coalesce(impairment = 'physical', false)
        when 'mental' then coalesce(impairment = 'mental', false)
        when 'complex' then coalesce(impairment = 'complex', false)
        when 'severe' then coalesce(is_severe and impairment <> 'none', false)
        when 'under 1' then coalesce(impairment <> 'none' and age_months < 12, false)
        when '1 year' then coalesce(impairment <> 'none' and age_months between 12 and 23, false)
        when '2 years' then coalesce(impairment <> 'none' and age_months between 24 and 35, false)
        else coalesce(list_contains(string_split(category_codes, ' '), stratum), false)
    end as is_counted
from pathway, category
