-- grain: children examined in a programme while under 3, numerator = flagged in it; stratum all: in any programme, a child once
select 'flagged' as indicator_id, kato2, birth_year, sex_code, programme as stratum, 'all' as age_band, false as is_excluded, is_flagged as is_counted
from pathway_programme
where is_examined_under_3
union all
select 'flagged', kato2, birth_year, sex_code, 'all', 'all', false, is_flagged
from pathway
where examined_programmes <> ''
