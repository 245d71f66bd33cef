-- grain: children by programme of the flags that a PMPC concluded (all: a child once), numerator = with an impairment concluded of such a referral
select 'ppv' as indicator_id, kato2, birth_year, sex_code, unnest(string_split('all ' || concluded_programmes, ' ')) as stratum, 'all' as age_band,
    false as is_excluded, case stratum when 'all' then confirmed_programmes <> '' else contains(confirmed_programmes, stratum) end as is_counted
from pathway
where is_concluded and concluded_programmes <> ''
