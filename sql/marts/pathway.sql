-- grain: one row a child of the spine born in the year that is told, as known on the day of the release
with secret as (  -- numbered by themselves: forty columns would be carried through the sort of all children by one thread
    select child_key, row_number() over (order by ('0x' || left(sha256(secret_order() || child_key::varchar), 16))::ubigint, child_key) as place
    from known_birth
    where not is_cancelled
),

examined as (
    select
        child_key,
        programme,
        is_in_window,
        recall_due_on,
        recalled_on,
        coalesce(first_examined_on, decided_on) < birth_on + interval 36 months as is_under_3,
        case when first_examined_on is null and verdict is distinct from 'risk' then 'not_examined' else coalesce(verdict, 'undecided') end as verdict
    from known_verdict
),

screened as (
    select
        child_key,
        max(verdict) filter (programme = 'blood_spot') as blood_spot,
        max(verdict) filter (programme = 'hearing') as hearing,
        max(verdict) filter (programme = 'development') as development,
        max(verdict) filter (programme = 'autism') as autism,
        max(verdict) filter (programme = 'eyes') as eyes,
        max(verdict) filter (programme = 'phenotype') as phenotype,
        string_agg(programme, ' ' order by programme) filter (is_under_3 and verdict <> 'not_examined') as examined_programmes,
        bool_or(is_in_window) filter (programme = 'blood_spot') as is_blood_spot_in_window,
        bool_or(is_in_window) filter (programme = 'hearing') as is_hearing_in_window,
        max(recall_due_on) filter (programme = 'blood_spot') as recall_due_on,
        max(recalled_on) filter (programme = 'blood_spot') as recalled_on
    from examined
    group by child_key
),

positive as (
    select child_key, string_agg(programme, ' ' order by programme) as positive_programmes
    from known_verdict
    where is_first_positive
    group by child_key
),

flagged as (
    select
        child_key,
        min(examined_on) as flagged_on,
        string_agg(distinct programme, ' ' order by programme) as flag_programmes,
        list(flag_id) as flag_ids
    from known_flag
    group by child_key
),

decided as (  -- the parents' delay ends with their first decision, and what stands of all of them the gate says (gated_consent)
    select child_key, min(decided_on) as decided_on
    from known_consent
    where purpose = 'pmpc_referral' and decided_on <= known_on() and not is_cancelled
    group by child_key
),

placed as (  -- of flags that are held still: one taken back by day stays placed until the next feeds
    select child_key, arg_min(place, place_rank(place)) as place, arg_min(reason, row(place_rank(place), reason)) as place_reason
    from known_placement
    semi join known_flag using (flag_id)
    group by child_key
),

sent as (  -- referred_on is of a flag that is held still, and a recall repeats the referral that it takes back
    select
        known_referral.child_key,
        min(composed_on) filter (item_kind = 'referral') as first_on,
        min(composed_on) filter (item_kind = 'referral' and list_has_any(string_split(known_referral.flag_ids, ' '), flagged.flag_ids)) as referred_on,
        count(*) filter (item_kind = 'referral') > count(*) filter (item_kind = 'recall') as is_standing
    from known_referral
    left join flagged using (child_key)
    group by known_referral.child_key
),

awaited as (  -- referrals that were neither answered for good nor taken back: that is what the place 'referred' means
    select distinct known_placement.child_key, referral_id, composed_on
    from known_placement
    inner join known_referral using (referral_id)
    where place = 'referred' and item_kind = 'referral'
),

unattended as (
    select referral_id
    from known_pmpc_report
    where not is_cancelled
    group by referral_id
    having arg_max(report_status, row(reported_on, version_at, report_status)) = '5.1.2'  -- a new appointment is an answer
),

waited as (
    select awaited.child_key, min(awaited.composed_on) as sent_on, bool_or(unattended.referral_id is not null) as is_unattended
    from awaited
    left join unattended using (referral_id)
    group by awaited.child_key
),

reported as (
    select child_key, bool_or(report_status in ('5.1.4', '7.0')) as is_seen
    from known_pmpc_report
    where not is_cancelled
    group by child_key
),

conclusion as (  -- what is concluded of a referral is its last conclusion as a whole: of a severity not stated an earlier one says nothing
    select
        child_key,
        referral_id,
        unnest(arg_max(
            {'category_codes': category_codes, 'is_severe': is_severe, 'is_impaired': category_codes <> 'none'},
            row(reported_on, category_codes <> 'none', category_codes, is_severe)
        ))
    from known_pmpc_report
    where report_status = '7.0' and not is_cancelled
    group by child_key, referral_id
),

concluded as (  -- an impairment confirmed once stays confirmed: of another referral a later 'none' says that it found no other
    select
        child_key,
        list_sort(list_distinct(flatten(list(string_split(category_codes, ' ')) filter (is_impaired)))) as codes,
        bool_or(is_severe) filter (is_impaired) as is_severe,
        list_contains(codes, 'physical') as is_physical,
        len(list_filter(codes, lambda c: c <> 'physical')) > 0 as is_mental
    from conclusion
    group by child_key
),

answered_flag as (
    select unnest(string_split(flag_ids, ' ')) as flag_id, is_impaired
    from known_referral
    inner join (select referral_id, is_impaired from conclusion) using (referral_id)
    where item_kind = 'referral'
),

answered as (  -- a flag is worth what the referral it was sent in found; one raised after a conclusion, what the next one says
    select
        child_key,
        string_agg(distinct programme, ' ' order by programme) as concluded_programmes,
        string_agg(distinct programme, ' ' order by programme) filter (is_impaired) as confirmed_programmes
    from known_flag
    inner join answered_flag using (flag_id)
    group by child_key
)

select
    year(birth.birth_on) * 10000000::bigint + secret.place as pathway_no,
    region.kato2,
    birth.kato4,
    date_trunc('month', birth.birth_on)::date as birth_month,
    year(birth.birth_on) as birth_year,
    birth.sex_code,
    coalesce(birth.plurality > 1, false) as is_multiple,
    case
        when birth.birth_weight_g is null then 'unknown' when birth.birth_weight_g < 1500 then 'under 1500'
        when birth.birth_weight_g < 2000 then '1500-1999' when birth.birth_weight_g < 2500 then '2000-2499' else '2500 and over'
    end as weight_band,
    case
        when birth.gestation_wk is null then 'unknown' when birth.gestation_wk < 28 then 'under 28'
        when birth.gestation_wk < 32 then '28-31' when birth.gestation_wk < 37 then '32-36' else '37 and over'
    end as gestation_band,
    at_risk_child.child_key is not null as is_rop_at_risk,
    birth.died_on is not null as is_dead,
    screened.blood_spot,
    screened.hearing,
    screened.development,
    screened.autism,
    screened.eyes,
    screened.phenotype,
    screened.is_blood_spot_in_window,
    screened.is_hearing_in_window,
    date_trunc('month', known_on())::date > screened.recall_due_on as is_blood_spot_recall_due,
    case when screened.recall_due_on is not null then coalesce(screened.recalled_on <= screened.recall_due_on, false) end as is_blood_spot_recall_in_time,
    coalesce(screened.examined_programmes, '') as examined_programmes,
    coalesce(positive.positive_programmes, '') as positive_programmes,
    flagged.child_key is not null as is_flagged,
    coalesce(flagged.flag_programmes, '') as flag_programmes,
    flagged.flagged_on - birth.birth_on as flagged_age_days,
    case
        when flagged.child_key is null then null
        when gated.lack = 'consent_refused' then 'refused'
        when gated.lack = 'consent_withdrawn' then 'withdrawn'
        when gated.child_key is not null and (gated.lack is null or sent.is_standing) then 'given'
        else 'pending'
    end as consent,
    case when decided.decided_on is not null and flagged.child_key is not null then greatest(decided.decided_on - flagged.flagged_on, 0) end as consent_delay_days,
    case
        when flagged.child_key is not null
            then coalesce(decided.decided_on, date_trunc('month', known_on())::date) - flagged.flagged_on > late_days()
    end as is_consent_late,
    case when flagged.child_key is not null then date_trunc('month', known_on())::date - flagged.flagged_on > late_days() end as is_consent_due,
    placed.place,
    placed.place_reason,
    sent.child_key is not null as is_referred,
    case when sent.referred_on is not null then greatest(sent.referred_on - flagged.flagged_on, 0) end as referred_delay_days,
    case when sent.child_key is not null then known_on() - coalesce(waited.sent_on, sent.first_on) > overdue_days() end as is_visit_due,
    coalesce(reported.is_seen, false) as is_seen,
    waited.child_key is not null and birth.died_on is null and not coalesce(reported.is_seen, false) as is_awaited,
    is_awaited and waited.is_unattended as is_unattended,
    is_awaited and is_visit_due as is_overdue,
    concluded.child_key is not null as is_concluded,
    coalesce(answered.concluded_programmes, '') as concluded_programmes,
    coalesce(answered.confirmed_programmes, '') as confirmed_programmes,
    case when concluded.child_key is not null then coalesce(array_to_string(concluded.codes, ' '), 'none') end as category_codes,
    case
        when concluded.is_physical and concluded.is_mental then 'complex' when concluded.is_physical then 'physical'
        when concluded.is_mental then 'mental' when concluded.child_key is not null then 'none'
    end as impairment,
    concluded.is_severe
from known_birth as birth
inner join secret using (child_key)
left join region on region.kato2 = left(birth.kato4, 2)
left join at_risk_child using (child_key)
left join screened using (child_key)
left join positive using (child_key)
left join flagged using (child_key)
left join decided using (child_key)
left join gated_consent as gated using (child_key)
left join placed using (child_key)
left join sent using (child_key)
left join waited using (child_key)
left join reported using (child_key)
left join concluded using (child_key)
left join answered using (child_key)
order by pathway_no
