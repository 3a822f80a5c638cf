//! Northwind Instruments, which does not exist: it builds water-quality probes and runs Tideline, the cloud service
//! that collects their readings for utilities.

/// Who works there, with the mailbox before the `@`.
pub(super) const PEOPLE: [(&str, &str); 16] = [
    ("Mira Okafor", "mira"),
    ("Jonas Weiß", "jonas"),
    ("Anna Kowalczyk", "anna"),
    ("Li Na", "lina"),
    ("Tomás Herrera", "tomas"),
    ("Sam O'Neil", "sam"),
    ("Yuki Tanaka (田中)", "yuki"),
    ("Priya Raman", "priya"),
    ("Élodie Marchand", "elodie"),
    ("Bjørn Aasen", "bjorn"),
    ("Fatima Zahra", "fatima"),
    ("Daniel Cohen", "daniel"),
    ("Zoë van Dijk", "zoe"),
    ("Oleksandr Bondar", "oleksandr"),
    ("Grace Mwangi", "grace"),
    ("Henrik Lindqvist", "henrik"),
];

/// The domain of its mail.
pub(super) const DOMAIN: &str = "northwind.example";

/// Who buys from it, with their domain.
pub(super) const CUSTOMERS: [(&str, &str); 14] = [
    ("Harbor City Water", "harborcity.example"),
    ("Stadtwerke Lindau", "stadtwerke-lindau.example"),
    ("Aguas del Valle", "aguasdelvalle.example"),
    ("Fjord Utilities", "fjord.example"),
    ("Great Plains Irrigation", "gpi.example"),
    ("Régie des Eaux de Brest", "eaux-brest.example"),
    ("Kansai Reservoirs", "kansai-reservoirs.example"),
    ("Wodociągi Północ", "wodociagi.example"),
    ("Delta Fisheries", "deltafisheries.example"),
    ("Cape Desalination", "capedesal.example"),
    ("Lakeshore County", "lakeshore.example"),
    ("Blue Ridge Brewing", "blueridge.example"),
    ("Tamar Estuary Trust", "tamar.example"),
    ("Nile Basin Monitoring", "nbm.example"),
];

/// What Tideline is made of.
pub(super) const SERVICES: [&str; 10] = [
    "tideline-ingest",
    "tideline-billing",
    "tideline-api",
    "tideline-alerts",
    "probe-gateway",
    "calibration-service",
    "dashboard",
    "report-builder",
    "identity",
    "export-worker",
];

/// Its hardware.
pub(super) const PROBES: [&str; 6] = ["TS-40", "TS-40X", "NTU-7", "pH-2 Marine", "DO-12", "Chlora 5"];

/// Where Tideline runs.
pub(super) const REGIONS: [&str; 4] = ["eu-north", "us-east", "ap-northeast", "sa-east"];
