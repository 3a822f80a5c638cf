//! What people at the company write about. Sentences have blanks in braces, which `prose` fills.

/// Something that pages, messages and tickets are about.
#[derive(Debug)]
pub(super) struct Topic {
    /// Short name, for labels, folders and channels.
    pub(super) key: &'static str,
    /// For headings and folders.
    pub(super) title: &'static str,
    /// Headlines.
    pub(super) subjects: &'static [&'static str],
    /// Sentences in no particular order.
    pub(super) sentences: &'static [&'static str],
}

/// Every topic.
pub(super) const TOPICS: [&Topic; 12] = [
    &BILLING,
    &ONBOARDING,
    &RELEASES,
    &SECURITY,
    &CALIBRATION,
    &INGEST,
    &INCIDENTS,
    &RENEWALS,
    &TRAVEL,
    &HIRING,
    &MOBILE,
    &API_LIMITS,
];

const BILLING: Topic = Topic {
    key: "billing",
    title: "Billing",
    subjects: &[
        "Invoices for {customer} were issued twice",
        "Double charge after the retry of a failed card payment",
        "Prorated credit missing when a plan is downgraded",
        "Billing run of {date} stopped half-way",
        "VAT is wrong on invoices for {region}",
        "Refund for {customer}: {n} probes billed after decommissioning",
        "Dunning mails were sent to customers who had paid",
        "Usage meter disagrees with the invoice by {n} readings",
    ],
    sentences: &[
        "The billing run picked up the same usage window twice because the lock on {service} expired after {n} minutes.",
        "{customer} received two invoices for the same month and asked for the second one to be cancelled.",
        "We issued credit notes for all {n} affected accounts and confirmed each of them with finance.",
        "The payment provider reported a timeout, so the job retried a charge that had in fact gone through.",
        "From now on every charge carries an idempotency key made of the account and the billing period.",
        "Downgrades in the middle of a month did not produce a prorated credit when the plan had an annual discount.",
        "{person} compared the usage meter with the ledger and found {big} readings that were counted but never billed.",
        "Tax rates are cached for a day, which is why the change of {date} reached the invoices too late.",
        "No card data left the payment provider; only amounts and invoice numbers were wrong.",
        "The refund was approved by {person} and should arrive within five working days.",
        "Please do not rerun the billing job by hand before the lock has been cleared, see {ticket}.",
        "An alert now fires when the sum of the invoices differs from metered usage by more than half a percent.",
        "Customers on purchase orders get a corrected invoice with a new number, never an edited one.",
        "The dunning queue had been paused for the migration and sent everything at once when it was resumed.",
    ],
};

const ONBOARDING: Topic = Topic {
    key: "onboarding",
    title: "Onboarding",
    subjects: &[
        "Your first week at Northwind",
        "Laptop and accounts for {person}",
        "Onboarding checklist for new engineers",
        "How we welcome a new customer: {customer}",
        "Buddy programme: what is expected of you",
        "Getting a local Tideline to run in an hour",
        "Questions from the {date} starter group",
    ],
    sentences: &[
        "On the first day you get a laptop, a badge and a key for the field lab; {person} hands them out at nine.",
        "Ask your buddy anything, and ask in the open channel when the answer could help the next starter.",
        "Access to production is granted after the security training and a shift spent next to the person on call.",
        "The local setup starts {n} containers and needs sixteen gigabytes of memory; close the dashboard if it swaps.",
        "Read the architecture overview before your second day and write down what you did not understand.",
        "New customers receive a starter box with two {probe} probes, a gateway and a printed quick-start card.",
        "{customer} finished its onboarding in {n} days, from the signed contract to the first reading.",
        "The first pull request should be small: fix a sentence in the handbook or a flaky test.",
        "Every starter visits a waterworks within the first month, because software reads differently after that.",
        "Payroll needs your bank details before the {date} cut-off, otherwise the first salary comes a month later.",
        "The checklist lives in one place; if a step is out of date, change it while you are doing it.",
        "Office keys, parking and the coffee machine are explained on the last page, in that order of difficulty.",
    ],
};

const RELEASES: Topic = Topic {
    key: "releases",
    title: "Release notes",
    subjects: &[
        "Tideline {version} release notes",
        "What is new in Tideline {version}",
        "Firmware {version} for {probe}",
        "Deprecation: the old export format goes away on {date}",
        "Changelog for {service} {version}",
        "Release {version} was rolled back in {region}",
    ],
    sentences: &[
        "Dashboards load twice as fast, because the last thirty days are now kept in a rolled-up table.",
        "You can share a chart by link; the link expires after {n} days unless the owner pins it.",
        "Alert rules accept a minimum duration, so a single odd reading no longer wakes anybody up.",
        "The firmware of the {probe} reports its battery level with every tenth reading.",
        "CSV exports carry the unit in the header of each column and use UTC everywhere.",
        "We fixed a rounding error that showed turbidity below 0.1 NTU as zero.",
        "The old export format is deprecated and will be switched off on {date}; the new one is documented in the handbook.",
        "Upgrading takes about {n} minutes, during which readings are buffered on the gateway and nothing is lost.",
        "{service} {version} was rolled back in {region} after error rates rose to two percent, and fixed the next day.",
        "Administrators can now see who changed an alert threshold, when, and from which value.",
        "Thanks to {customer} for reporting the time zone problem in the weekly report.",
        "Keyboard shortcuts work on every page; press the question mark to see them.",
        "The release was signed by {person} after the checks in {ticket} had passed.",
    ],
};

const SECURITY: Topic = Topic {
    key: "security",
    title: "Security review",
    subjects: &[
        "Security review of {service}",
        "Penetration test: findings and owners",
        "Rotating the signing keys of {service}",
        "Questionnaire from {customer}",
        "Phishing mails that pretend to come from payroll",
        "Access review, quarter ending {date}",
        "SSO for {customer}: what we need from them",
    ],
    sentences: &[
        "The penetration test found {n} issues, one of them high: session tokens stayed valid after a password change.",
        "All tokens are now bound to a session that ends when the password, the role or the second factor changes.",
        "Keys are rotated every ninety days; {person} owns the calendar and the runbook.",
        "{customer} asks for a list of subprocessors, the last audit report and a contact for incidents.",
        "Backups are encrypted with a key that the database servers cannot read.",
        "Nobody has standing access to production data; access is requested per ticket and ends after four hours.",
        "The review covered authentication, tenant isolation, secrets, logging and the update channel of the probes.",
        "Firmware images are signed in a separate account, and a probe refuses an image with a lower version.",
        "We found an access token in a log line of {service}, revoked it within {n} minutes and removed the line.",
        "Please report suspicious mail with the button, do not forward it, and never approve a login you did not start.",
        "Single sign-on uses OpenID Connect; the customer sends us the issuer and the names of two test users.",
        "The quarterly access review removed {n} accounts that had not been used for sixty days.",
        "Dependencies are scanned every night; {ticket} tracks the one advisory that has no fix yet.",
    ],
};

const CALIBRATION: Topic = Topic {
    key: "calibration",
    title: "Calibration",
    subjects: &[
        "{probe} drifts in warm water",
        "Calibration procedure for the {probe}",
        "Two-point or three-point calibration?",
        "Field report: {customer}, {n} probes recalibrated",
        "Certificates of {date} have the wrong serial numbers",
        "Reference solution lot {n} is out of tolerance",
    ],
    sentences: &[
        "Rinse the {probe} with distilled water, wait until the reading is stable for a minute, then store the first point.",
        "The drift is {n} millivolts per week above 28 °C and disappears after the membrane has been replaced.",
        "Use the buffer solutions from the blue box; the green ones are for the DO-12 and expire earlier.",
        "A two-point calibration is enough for drinking water, sea water needs three.",
        "{person} spent two days at {customer} and recalibrated {n} probes, four of which had cracked housings.",
        "The certificate lists the serial number, the reference lot, the temperature and the person who signed.",
        "Readings between the failed check and the recalibration are marked as doubtful, not deleted.",
        "Biofilm on the lens makes turbidity look higher than it is; the wiper should run every {n} minutes.",
        "The calibration service refuses a slope outside of 92 to 105 percent and asks for a new membrane.",
        "Lot {n} of the reference solution was out of tolerance, so all certificates since {date} were issued again.",
        "Cold probes lie: let them warm up in the water for at least ten minutes before the first point.",
    ],
};

const INGEST: Topic = Topic {
    key: "ingest",
    title: "Readings and ingest",
    subjects: &[
        "Late readings from {customer} after a gateway outage",
        "{service} falls behind at the top of the hour",
        "Duplicate readings when a gateway reconnects",
        "Schema change: readings carry a quality flag",
        "Backfill of {big} readings for {region}",
        "Clock skew on old gateways",
    ],
    sentences: &[
        "The gateway buffers up to {big} readings and sends the oldest first when the line is back.",
        "Late readings are accepted for seven days and recompute every roll-up that they touch.",
        "{service} fell behind by {n} minutes because all gateways report at the top of the hour.",
        "We now spread the reports over ten minutes, using a hash of the serial number as offset.",
        "A reading is identified by probe, channel and measuring time, so sending it twice changes nothing.",
        "Old gateways have no battery for their clock and come back in 1970; those readings go to quarantine.",
        "The backfill for {region} ran for {n} hours with two workers and did not disturb live traffic.",
        "Partition {n} was hot, since one customer had given all of its probes the same prefix.",
        "Every reading has a quality flag: good, doubtful, estimated or missing.",
        "If the queue is longer than {big} messages, the alert goes to the platform team and not to the customer.",
        "{person} wrote a replay tool that reads the raw store and feeds it through the same code as live data.",
        "Compression on the gateway saves about {n} percent of the mobile data that {customer} pays for.",
    ],
};

const INCIDENTS: Topic = Topic {
    key: "incidents",
    title: "Incidents and on-call",
    subjects: &[
        "Retrospective: {service} was down for {n} minutes",
        "On-call handover, week of {date}",
        "Dashboard shows no data in {region}",
        "Database failover took longer than planned",
        "Alert storm after a certificate expired",
        "Runbook: {service} does not start",
    ],
    sentences: &[
        "At 04:{n} the primary database in {region} stopped accepting writes, and the failover took eleven minutes.",
        "Customers saw old data on their dashboards; no reading was lost, because the gateways kept their buffers.",
        "The page went to {person}, who confirmed the outage within four minutes and opened {ticket}.",
        "What went well: the status page was up to date and the rollback was one command.",
        "What went badly: the runbook named a host that has not existed since the spring.",
        "The certificate of {service} expired because its renewal job ran under an account that had been removed.",
        "An expiring certificate is now an alert thirty, seven and one day before the end.",
        "Hand over open incidents in writing, and say which of them may wake up the next person.",
        "If the service does not start, look at the migration lock first and at the disk second.",
        "We agreed to rehearse the failover every month, during office hours, with a customer success manager listening.",
        "Nobody is to blame for pressing the button; the button should not have been there.",
        "The action items have an owner and a date, and we look at them again on {date}.",
        "The second on-call was not paged, since the escalation policy still pointed to a closed team.",
    ],
};

const RENEWALS: Topic = Topic {
    key: "renewals",
    title: "Customers and renewals",
    subjects: &[
        "Renewal of {customer}",
        "{customer} wants {n} more probes",
        "Notes from the quarterly review with {customer}",
        "Risk: {customer} compares us with a competitor",
        "Case study with {customer}",
        "Discount request from {customer}",
    ],
    sentences: &[
        "{customer} renews on {date} and would like to add {n} probes at two new sites.",
        "Their main wish is a report that the authority accepts without further editing.",
        "They are happy with the alerts and unhappy with the battery life of the {probe} in winter.",
        "{person} offered a three-year contract with a fixed price per probe and two service visits a year.",
        "Procurement needs the offer in their portal, with the framework number on every page.",
        "The competitor is cheaper per probe, but charges for storage and for every export.",
        "In the review we went through {n} open questions and closed all but two of them.",
        "They agreed to be named in a case study once the drought measures are over.",
        "The new contact is the head of operations; the former one has retired.",
        "A discount above fifteen percent needs the approval of finance before it is mentioned to the customer.",
        "Usage grew by {n} percent since last year, mostly from sites that measure oxygen.",
    ],
};

const TRAVEL: Topic = Topic {
    key: "travel",
    title: "Travel and offices",
    subjects: &[
        "Travel policy: trains first",
        "Expenses for the visit to {customer}",
        "Office closed on {date}",
        "Field kit: what to pack for a site visit",
        "Moving desks in the Lindau office",
    ],
    sentences: &[
        "Take the train when it needs less than six hours, and book the flexible fare for customer visits.",
        "Receipts are due within thirty days; a photo is enough as long as the date can be read.",
        "The field kit weighs {n} kilograms and contains two spare probes, a gateway and waterproof gloves.",
        "The office is closed on {date}; deliveries go to the bakery next door, as always.",
        "Tell {person} about allergies before the team days, the kitchen needs a week of notice.",
        "Hotel prices in {region} have risen, so the limit is now {n}0 euros a night.",
        "Nobody travels alone to a site with open water; the second person may be from the customer.",
        "Meeting rooms are named after rivers, and the Elbe still has no working screen.",
    ],
};

const HIRING: Topic = Topic {
    key: "hiring",
    title: "Hiring",
    subjects: &[
        "Interview guide for firmware engineers",
        "Open position: site reliability engineer",
        "Feedback on the {date} interviews",
        "Take-home exercise: keep it or drop it?",
        "Referral bonus is paid after {n} days",
    ],
    sentences: &[
        "Every candidate meets four people, and each of them looks at one thing only.",
        "The exercise takes two hours, is paid, and is about reading code rather than writing it.",
        "{person} will lead the debrief; please write your notes before you have talked to anybody.",
        "We look for people who have kept something running for years, not for a list of tools.",
        "The candidate explained a difficult outage calmly and asked good questions about our failover.",
        "Answers go out within {n} days, also when the answer is no.",
        "The salary band is part of the advertisement and does not depend on how well somebody negotiates.",
        "For firmware roles we sit together in front of an oscilloscope for half an hour.",
    ],
};

const MOBILE: Topic = Topic {
    key: "mobile",
    title: "Mobile app",
    subjects: &[
        "App crashes when a probe is paired twice",
        "Offline mode for technicians",
        "Bluetooth pairing fails with the {probe}",
        "Push notifications arrive late in {region}",
        "Dark mode makes the chart unreadable",
    ],
    sentences: &[
        "The app crashes on the second pairing because the old connection to the {probe} is never closed.",
        "In offline mode a technician can finish a calibration and upload it when there is a network again.",
        "Pairing fails when more than {n} probes are in range; moving a few metres away helps.",
        "Push messages to {region} were delayed by {n} minutes, since the provider throttled our account.",
        "The chart uses dark blue on black, which {customer} could not read in bright sun.",
        "Version {version} keeps photos of the site at full size and sends them only over Wi-Fi.",
        "{person} tested the build on a phone from 2019 and on a tablet with a cracked screen, as technicians have them.",
        "The map caches the last site, so that it opens in a basement without reception.",
    ],
};

const API_LIMITS: Topic = Topic {
    key: "api",
    title: "API and rate limits",
    subjects: &[
        "429 responses for {customer} since {date}",
        "Rate limits per key instead of per address",
        "Pagination skips rows when data arrives late",
        "Webhooks are delivered twice",
        "API guide: reading large ranges",
        "Deprecating version {n} of the readings endpoint",
    ],
    sentences: &[
        "The limit is {n}0 requests a minute per key, with bursts of twice that.",
        "A response with status 429 says in its Retry-After header how many seconds to wait; please honour it.",
        "{customer} polled every probe each second; a webhook would have told them the same with a thousandth of the calls.",
        "Pages are now ordered by arrival and not by measuring time, so that late readings cannot be skipped.",
        "Webhooks are delivered at least once; compare the event id before you act on one.",
        "For large ranges, ask for an export: it is prepared in the background and can be downloaded for {n} days.",
        "Keys can be limited to a site, to reading, or to a single probe.",
        "The error body is the same everywhere: a code, a sentence for people and a link to the guide.",
        "Clients that send no user agent are limited more strictly, because we cannot tell whom to ask.",
        "{person} added the remaining quota to every response, which cut the number of support tickets by {n} percent.",
    ],
};

/// Asides in the languages of the company's offices and customers.
pub(super) const ASIDES: [&str; 12] = [
    "Bitte bis Freitag prüfen, die Größe der Anhänge ist begrenzt.",
    "Die Störung in Lindau ist behoben, danke für die schnelle Rückmeldung!",
    "La réunion est déplacée à jeudi, merci de relire le compte-rendu avant.",
    "Les sondes du bassin n° 3 ont été nettoyées ce matin.",
    "Proszę sprawdzić raport przed końcem tygodnia, szczególnie załącznik ósmy.",
    "明日の会議は午後三時からです。資料を共有してください。",
    "校正証明書を再発行しました。",
    "El informe de turbidez está listo; falta la firma del señor Herrera.",
    "Сервер резервного копирования проверен, всё в порядке.",
    "이번 배포는 롤백 계획이 필요합니다.",
    "Målingene fra Bjørvika ser riktige ut igjen 👍",
    "Done ✅ – thanks everybody, that was a long night 🌊",
];
