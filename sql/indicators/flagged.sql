-- grain: children examined in a programme, numerator = flagged in it
select 'flagged' as indicator_id, kato2, birth_year, sex_code, programme as stratum, 'all' as age_band, false as is_excluded,
    list_contains(string_split(flag_programmes, ' '), programme) as is_counted
from pathway_programme
where verdict is not null
