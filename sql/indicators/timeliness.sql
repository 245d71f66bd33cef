-- grain: children with a first examination that has an age window, numerator = within it
select 'timeliness' as indicator_id, kato2, birth_year, sex_code, programme as stratum, 'all' as age_band, is_in_window is null as is_excluded,
    coalesce(is_in_window, false) as is_counted
from pathway_programme
where verdict is not null and programme in ('blood_spot', 'hearing')
