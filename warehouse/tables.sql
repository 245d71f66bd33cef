-- What readers of the published file are promised: tables, keys, checks, meaning (pathway: pathway.sql). One table, one file in sql/marts or sql/indicators.
create table if not exists region (
    kato2 varchar primary key check (regexp_matches(kato2, '^[0-9]{2}$')), iso varchar not null unique,
    name_kk varchar not null, name_ru varchar not null, name_en varchar not null);
comment on table region is 'The 20 regions; kato2 = first two digits of KATO = number of ISO 3166-2';
comment on column region.kato2 is 'first two digits of KATO';
comment on column region.iso is 'ISO 3166-2 code';
comment on column region.name_kk is 'name in Kazakh';
comment on column region.name_ru is 'name in Russian';
comment on column region.name_en is 'name in English';

create table facility_month (
    facility_id varchar not null, role varchar not null check (role in ('maternity', 'phc')),
    month date not null check (day(month) = 1), facility_kind varchar, kato4 varchar,
    birth_count bigint not null check (birth_count >= 0), flagged_count bigint not null check (flagged_count between 0 and birth_count),
    screened_count bigint not null check (screened_count between 0 and birth_count), primary key (facility_id, role, month));
comment on table facility_month is 'One row an organisation, its role and month of birth: children born or attached there, screened, flagged; sum within one role';
comment on column facility_month.facility_id is 'register id of the organisation';
comment on column facility_month.role is 'maternity: the children were born there; phc: it is their primary care organisation';
comment on column facility_month.month is 'month of birth';
comment on column facility_month.facility_kind is 'kind by the register; null = not in the register';
comment on column facility_month.kato4 is 'district of the facility';
comment on column facility_month.birth_count is 'children of the spine born there, or attached to it';
comment on column facility_month.flagged_count is 'of them flagged';
comment on column facility_month.screened_count is 'of them with a result in any programme';

create table data_quality (
    received_on date not null, record_kind varchar not null, file_count bigint not null, refused_file_count bigint not null,
    received_count bigint not null, accepted_count bigint not null, quarantined_count bigint not null, waiting_count bigint not null,
    primary key (received_on, record_kind), check (received_count = accepted_count + quarantined_count));
comment on table data_quality is 'One row a day of receipt and kind of record: what came, what was refused, what waits for its child';
comment on column data_quality.received_on is 'day of receipt';
comment on column data_quality.record_kind is 'birth, screening, consent, confirmation, pmpc_report, unknown';
comment on column data_quality.file_count is 'files';
comment on column data_quality.refused_file_count is 'of them refused whole';
comment on column data_quality.received_count is 'rows read';
comment on column data_quality.accepted_count is 'rows accepted';
comment on column data_quality.quarantined_count is 'rows refused';
comment on column data_quality.waiting_count is 'accepted rows whose child was not known on the day';

create table denominator (
    kato2 varchar not null references region (kato2), birth_year integer not null, spine_births bigint not null,
    register_children bigint, primary key (kato2, birth_year));
comment on table denominator is 'One row a region and year: births in the spine beside children under 1 by the register of populations (decision 14)';
comment on column denominator.kato2 is 'region';
comment on column denominator.birth_year is 'year';
comment on column denominator.spine_births is 'births in the spine';
comment on column denominator.register_children is 'children aged 0 by the population register';

create table indicator_definition (
    indicator_id varchar primary key, title varchar not null, rationale varchar not null, numerator varchar not null,
    denominator varchar not null, exclusions varchar not null, unit varchar not null, per bigint not null, acceptable double, achievable double,
    is_high_good boolean, method varchar not null, valid_from date not null, source varchar not null);
comment on table indicator_definition is 'One row an indicator: what is counted, over what, without whom, by which interval, with which thresholds';
comment on column indicator_definition.indicator_id is 'name';
comment on column indicator_definition.title is 'what it is';
comment on column indicator_definition.rationale is 'why it is watched';
comment on column indicator_definition.numerator is 'who is counted';
comment on column indicator_definition.denominator is 'over whom';
comment on column indicator_definition.exclusions is 'who is left out of both';
comment on column indicator_definition.unit is 'proportion or rate';
comment on column indicator_definition.per is 'value = numerator / denominator x per';
comment on column indicator_definition.acceptable is 'acceptable threshold';
comment on column indicator_definition.achievable is 'achievable threshold';
comment on column indicator_definition.is_high_good is 'thresholds are reached from below (true) or from above (false); null = none';
comment on column indicator_definition.method is 'wilson, or byar (exact Poisson under 10)';
comment on column indicator_definition.valid_from is 'first day of this definition';
comment on column indicator_definition.source is 'where it comes from';

create table indicator (
    indicator_id varchar not null references indicator_definition (indicator_id), kato2 varchar not null, birth_year integer not null,
    sex_code varchar not null, stratum varchar not null, eligible bigint not null, excluded bigint not null, denominator bigint not null,
    numerator bigint not null, value double, ci_low double, ci_high double, method varchar not null, threshold_met varchar,
    primary key (indicator_id, kato2, birth_year, sex_code, stratum), check (eligible = excluded + denominator),
    check (numerator between 0 and denominator), check (value is null or ci_low <= value and value <= ci_high));
comment on table indicator is 'One row an indicator, region (KZ = nation), year of birth, sex and stratum: counts, value and 95 % interval';
comment on column indicator.indicator_id is 'indicator_definition';
comment on column indicator.kato2 is 'region, KZ = the nation';
comment on column indicator.birth_year is 'year of birth';
comment on column indicator.sex_code is 'male, female, all';
comment on column indicator.stratum is 'programme, category or age band; all';
comment on column indicator.eligible is 'children looked at';
comment on column indicator.excluded is 'left out, by the definition';
comment on column indicator.denominator is 'eligible - excluded';
comment on column indicator.numerator is 'counted';
comment on column indicator.value is 'numerator / denominator x per';
comment on column indicator.ci_low is 'lower 95 % limit';
comment on column indicator.ci_high is 'upper 95 % limit';
comment on column indicator.method is 'wilson, poisson_exact or byar';
comment on column indicator.threshold_met is 'achievable, acceptable or none; null = no threshold';

create schema published;
create table published.indicator (
    indicator_id varchar not null, kato2 varchar not null, birth_year integer not null, sex_code varchar not null, stratum varchar not null,
    numerator bigint, denominator bigint, value double, is_hidden boolean not null,
    told_on date not null, national_numerator bigint not null, national_denominator bigint not null,
    primary key (indicator_id, kato2, birth_year, sex_code, stratum));
comment on table published.indicator is 'What may leave the ministry: the nation as it is; regions with small counts hidden and the others rounded to 5';
comment on column published.indicator.indicator_id is 'indicator_definition';
comment on column published.indicator.kato2 is 'region, KZ = the nation';
comment on column published.indicator.birth_year is 'year of birth';
comment on column published.indicator.sex_code is 'all; by sex for the nation only';
comment on column published.indicator.stratum is 'programme, category or age band; all';
comment on column published.indicator.numerator is 'null = hidden; regions rounded to 5, 0 stays 0';
comment on column published.indicator.denominator is 'null = hidden; regions rounded to 5';
comment on column published.indicator.value is 'from the rounded counts; null = hidden or too few';
comment on column published.indicator.told_on is 'day as known on which this row is told; regions are told anew only when a change concerns enough children';
comment on column published.indicator.national_numerator is 'numerator of the nation, both sexes, on that day';
comment on column published.indicator.national_denominator is 'denominator of the nation, both sexes, on that day';
comment on column published.indicator.is_hidden is 'a small count, or one that would give a small count back';

create table release (
    known_on date primary key, protocol varchar not null, child_count bigint not null, small_count bigint not null, rounding bigint not null,
    definitions varchar not null);
comment on table release is 'One row: the day as known on which everything here is told';
comment on column release.known_on is 'as known on';
comment on column release.protocol is 'folder of the protocols in force';
comment on column release.child_count is 'rows of pathway';
comment on column release.small_count is 'published counts of 1..small_count are hidden below the nation';
comment on column release.rounding is 'other published counts below the nation are rounded to this';
comment on column release.definitions is 'hash of what the figures are made by: definitions, registers, limits; a later release takes years over only where it is equal';
