-- grain: one row a day of receipt and kind of record
select
    received_on,
    coalesce(record_kind, 'unknown') as record_kind,
    count(*) as file_count,
    count(*) filter (status = 'refused') as refused_file_count,
    sum(received_count)::bigint as received_count,
    sum(accepted_count)::bigint as accepted_count,
    sum(quarantined_count)::bigint as quarantined_count,
    sum(waiting_count)::bigint as waiting_count
from known_submission
where status not in ('held', 'returned')
group by received_on, coalesce(record_kind, 'unknown')
