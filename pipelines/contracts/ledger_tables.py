"""Tables of the lake that account for every file, row, feed and event."""

import dataframely as dy

from pipelines.contracts.columns import clinical, coded


class Submission(dy.Schema):
    """ledger.submission: one file from one sender and what became of it."""

    submission_id = clinical("sha256 of the bytes", nullable=False)
    file_name = clinical("name as received", nullable=False)
    received_on = clinical("day", dy.Date, nullable=False)
    first_on = clinical("day it first came, where it was held then: it was judged by that day, and its sender's delay counts to it", dy.Date)
    size_bytes = clinical("bytes", dy.Int64, nullable=False)
    layout = clinical("layout it was read by")
    record_kind = clinical("kind of its records")
    sender_id = clinical("sender, where the file has one")
    status = coded("accepted, partly_accepted, refused, held or returned", ("accepted", "partly_accepted", "refused", "held",
                   "returned"), nullable=False)  # fmt: skip
    refusal_code = clinical("why the whole file is refused")
    received_count = clinical("rows read", dy.Int64, nullable=False)
    accepted_count = clinical("rows accepted", dy.Int64, nullable=False)
    quarantined_count = clinical("rows refused", dy.Int64, nullable=False)
    waiting_count = clinical("of the accepted, waiting for their child at commit", dy.Int64, nullable=False)
    run_id = clinical("run that committed it", nullable=False)


class SubmissionSender(dy.Schema):
    """ledger.submission_sender: the senders of a file whose rows name several, with the rows of each; a file of one sender has no row."""

    submission_id = clinical("submission", nullable=False)
    sender_id = clinical("a sender of it", nullable=False)
    received_count = clinical("rows of it that name this sender", dy.Int64)
    quarantined_count = clinical("of them refused; they count where a register knows the sender", dy.Int64)
    delay_days = clinical("median days from the event to receipt of its accepted records; null where they tell of no such day", dy.Float64)


class Finding(dy.Schema):
    """ledger.finding: a code on a row; never a value."""

    submission_id = clinical("submission", nullable=False)
    row_no = clinical("row, null = the whole file", dy.Int64)
    column = clinical("our column; of a header (unknown, absent, a total) or of a cell of a wide row the header in the file")
    code = clinical("finding code", nullable=False)
    severity = coded("error refuses the row; warning and info do not", ("error", "warning", "info"), nullable=False)
    detail = clinical("what explains it: counts (declared, computed, difference), or the registered id that is meant; never another value of a row")


class Delivery(dy.Schema):
    """ledger.delivery: the files of one FHIR export that were read together; a file that came alone has no row."""

    delivery_id = clinical("sha256 over the ids of its files", nullable=False)
    submission_id = clinical("a file of it", nullable=False)
    file_name = clinical("name as received", nullable=False)
    received_on = clinical("day", dy.Date, nullable=False)
    is_judged = clinical("judged in this delivery; false for a file known before, which gave its people only", dy.Bool, nullable=False)


class Profile(dy.Schema):
    """ledger.profile: what a later batch of the same sender is compared with, so that no old row is read again."""

    sender_id = clinical("sender", nullable=False)
    record_kind = clinical("kind of its records", nullable=False)
    received_on = clinical("day: files are pruned by it", dy.Date, nullable=False)
    submission_id = clinical("submission", nullable=False)
    measure = clinical("timeliness_days, completeness_<column>, median_<component>, count_<component>, hits_<share>, asked_<share>", nullable=False)
    value = clinical("number of the whole submission", dy.Float64, nullable=False)


class SenderCode(dy.Schema):
    """ledger.sender_code: the first time a sender used a code of a list; grows by vocabulary, not by nights."""

    sender_id = clinical("sender", nullable=False)
    record_kind = clinical("kind of its records", nullable=False)
    code = clinical("column=code, for example component=tsh", nullable=False)
    submission_id = clinical("submission that used it first", nullable=False)
    first_on = clinical("day it was received", dy.Date, nullable=False)


class Resent(dy.Schema):
    """ledger.resent: a refused row that came again in a later run, and how it fared then; it is what closes findings."""

    submission_id = clinical("submission of the refused row", nullable=False)
    row_no = clinical("the refused row", dy.Int64, nullable=False)
    outcome = coded("accepted or refused_again", ("accepted", "refused_again"), nullable=False)
    resent_in = clinical("the later submission", nullable=False)
    resent_on = clinical("day it was received", dy.Date, nullable=False)


class Settlement(dy.Schema):
    """ledger.settlement: a finding of an accepted row that a later file settles.

    A record that may not be what is held, until a version comes that is newer than both; what only a birth record said, when it
    was corrected and says it no more.
    """

    submission_id = clinical("submission", nullable=False)
    row_no = clinical("its row", dy.Int64, nullable=False)
    code = clinical("finding code", nullable=False)
    record_key = clinical("the record", dy.Int64, nullable=False)
    version_at = clinical("order of versions: what a settling one is after", dy.Datetime, nullable=False)
    version_rank = clinical("of versions issued at once", dy.Int64, nullable=False)
    settled_in = clinical("the later submission that settled it")
    settled_on = clinical("day it was received; null = still open", dy.Date)


class Feed(dy.Schema):
    """ledger.feed: the numbered nightly delivery to one PMPC."""

    pmpc_id = clinical("receiver", nullable=False)
    feed_no = clinical("1, 2, 3 ... without gaps", dy.Int64, nullable=False)
    composed_on = clinical("night", dy.Date, nullable=False)
    item_count = clinical("items", dy.Int64, nullable=False)
    referral_count = clinical("of them referrals", dy.Int64, nullable=False)
    recall_count = clinical("of them recalls", dy.Int64, nullable=False)
    zero_reason = clinical("why nothing: no_flags, consent_pending, no_arrivals")
    content_hash = clinical("sha256 over the content files", nullable=False)
    previous_hash = clinical("content hash of the feed before; 64 zeros for the first", nullable=False)


class Event(dy.Schema):
    """ledger.event: the audit chain; each row carries the hash of the row before."""

    event_no = clinical("1, 2, 3 ...", dy.Int64, nullable=False)
    happened_at = clinical("moment, UTC", dy.Datetime, nullable=False)
    kind = clinical(
        "commit, rules, hold, release, return, notice, refer, publish, read_identified, maintain, merge, unmerge", nullable=False
    )
    subject = clinical("run, submission or child it is about", nullable=False)
    detail = clinical("JSON of counts; of a decision the person and the reason", nullable=False)
    previous_hash = clinical("hash of the event before", nullable=False)
    event_hash = clinical("sha256 of this row and the hash before", nullable=False)
