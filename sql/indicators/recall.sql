-- grain: children of whom a result asked for a repeat blood sample, numerator = taken in time
select 'recall' as indicator_id, kato2, birth_year, sex_code, 'blood_spot' as stratum, 'all' as age_band,
    is_dead or not is_blood_spot_recall_due as is_excluded, is_blood_spot_recall_in_time as is_counted
from pathway
where is_blood_spot_recall_due is not null
