-- grain: children of the spine by category of LAW343, at all ages and in their age band, numerator = confirmed by a PMPC
with category as (
    select unnest(['all', 'physical', 'mental', 'complex', 'severe', 'sensory', 'speech', 'emotional_volitional', 'brain_damage',
        'intellectual', 'developmental_delay']) as stratum
),

child as (
    select kato2, birth_year, sex_code, impairment, is_severe, string_split(category_codes, ' ') as codes,
        unnest(case when is_dead then ['all'] when age_months < 12 then ['all', 'under 1'] when age_months < 24 then ['all', '1 year'] when age_months < 36
            then ['all', '2 years'] else ['all'] end) as age_band
    from pathway
)

select 'impairment' as indicator_id, kato2, birth_year, sex_code, stratum, age_band, false as is_excluded,
    case stratum
        when 'all' then coalesce(impairment <> 'none', false)
        when 'physical' then coalesce(impairment = 'physical', false)
        when 'mental' then coalesce(impairment = 'mental', false)
        when 'complex' then coalesce(impairment = 'complex', false)
        when 'severe' then coalesce(is_severe and impairment <> 'none', false)
        else coalesce(list_contains(codes, stratum), false)
    end as is_counted
from child, category
