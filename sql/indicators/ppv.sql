-- grain: children by programme of the flags that a PMPC concluded, numerator = with an impairment concluded of a referral that had one
select 'ppv' as indicator_id, kato2, birth_year, sex_code, unnest(string_split(concluded_programmes, ' ')) as stratum, 'all' as age_band,
    false as is_excluded, list_contains(string_split(confirmed_programmes, ' '), stratum) as is_counted
from pathway
where is_concluded and concluded_programmes <> ''
