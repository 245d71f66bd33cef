-- One table a year of birth: pathway becomes pathway_<year>, and view pathway is all of them with age_months. A year of whose children
-- nothing was learned is taken over from the release before as it stands: no column may change by the day alone, as age does.
create table pathway (
    pathway_no bigint primary key, kato2 varchar references region (kato2), kato4 varchar,
    birth_month date not null check (day(birth_month) = 1), birth_year integer not null check (birth_year = year(birth_month)), sex_code varchar not null,
    is_multiple boolean not null, weight_band varchar not null, gestation_band varchar not null,
    is_dead boolean not null,
    blood_spot varchar, hearing varchar, development varchar, autism varchar, eyes varchar, phenotype varchar,
    is_blood_spot_in_window boolean, is_hearing_in_window boolean,
    positive_programmes varchar not null, is_flagged boolean not null, flag_programmes varchar not null, flagged_age_days integer,
    consent varchar check (consent in ('given', 'refused', 'withdrawn', 'pending')), consent_delay_days integer,
    place varchar check (place in ('withheld', 'referred', 'aged_out', 'closed')), place_reason varchar,
    is_referred boolean not null, referred_delay_days integer, is_seen boolean not null, is_unattended boolean not null,
    is_overdue boolean not null, is_concluded boolean not null, category_codes varchar, impairment varchar check (impairment in ('none', 'physical', 'mental', 'complex')),
    is_severe boolean, check (not is_referred or is_flagged or place is null), check ((consent is null) = not is_flagged));
comment on table pathway is 'One row a child of the spine: born, screened, flagged, consented, referred, seen, concluded; no identifiers';
comment on column pathway.pathway_no is 'number within the year of birth and this release only; in a secret order, leads back to no child';
comment on column pathway.kato2 is 'region of residence';
comment on column pathway.kato4 is 'district of residence';
comment on column pathway.birth_month is 'first day of the month of birth';
comment on column pathway.birth_year is 'year of birth';
comment on column pathway.sex_code is 'male, female or unknown';
comment on column pathway.is_multiple is 'born of a multiple pregnancy';
comment on column pathway.weight_band is 'weight at birth, grams: under 1500, 1500-1999, 2000-2499, 2500 and over, unknown';
comment on column pathway.gestation_band is 'completed weeks: under 28, 28-31, 32-36, 37 and over, unknown';
comment on column pathway.is_dead is 'a date of death is known';
comment on column pathway.blood_spot is 'verdict: clear, repeat_due, risk, undecided; null = no result';
comment on column pathway.hearing is 'verdict, as blood_spot';
comment on column pathway.development is 'verdict, as blood_spot';
comment on column pathway.autism is 'verdict, as blood_spot';
comment on column pathway.eyes is 'verdict, as blood_spot';
comment on column pathway.phenotype is 'verdict, as blood_spot';
comment on column pathway.is_blood_spot_in_window is 'first sample at the age the order asks for';
comment on column pathway.is_hearing_in_window is 'first hearing test at the age the order asks for';
comment on column pathway.positive_programmes is 'programmes whose first examination was not clear, separated by spaces';
comment on column pathway.is_flagged is 'risk group: a verdict of risk under 3 years';
comment on column pathway.flag_programmes is 'programmes of the flags, separated by spaces';
comment on column pathway.flagged_age_days is 'age at the first flag, days';
comment on column pathway.consent is 'latest decision about the PMPC referral of a flagged child; pending = none';
comment on column pathway.consent_delay_days is 'days from the flag to the decision';
comment on column pathway.place is 'where the flag is: withheld, referred, aged_out, closed';
comment on column pathway.place_reason is 'why it is there';
comment on column pathway.is_referred is 'sent to a PMPC in a feed';
comment on column pathway.referred_delay_days is 'days from the flag to the feed';
comment on column pathway.is_seen is 'the PMPC reported a visit or a conclusion';
comment on column pathway.is_unattended is 'the PMPC reported that nobody came, and no visit since';
comment on column pathway.is_overdue is 'sent more than 60 days ago, and the PMPC reported no visit';
comment on column pathway.is_concluded is 'the PMPC concluded';
comment on column pathway.category_codes is 'LAW343 Art. 1(4)-(5) categories concluded, separated by spaces';
comment on column pathway.impairment is 'none, physical, mental or complex (both; LAW343 Art. 1(6)); null = not concluded';
comment on column pathway.is_severe is 'severe as concluded (LAW343 Art. 1(7))';
