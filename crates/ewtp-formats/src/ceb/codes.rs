//! China Customs' codes and the international ones that they stand for. Facts from China Customs' parameter tables (countries and
//! regions, currencies, units, modes of transport) as declarations before and beside the move to ISO letters use them; what has no
//! single counterpart is left out, and then carried along as it stands.

/// Countries and regions, ISO 3166-1 alpha-2. 341 to 348 repeat states of Central Asia under older numbers and are read alone.
#[rustfmt::skip]
const COUNTRIES: &[(&str, &str)] = &[
    ("101", "AF"), ("102", "BH"), ("103", "BD"), ("104", "BT"), ("105", "BN"), ("106", "MM"), ("107", "KH"), ("108", "CY"),
    ("109", "KP"), ("110", "HK"), ("111", "IN"), ("112", "ID"), ("113", "IR"), ("114", "IQ"), ("115", "IL"), ("116", "JP"),
    ("117", "JO"), ("118", "KW"), ("119", "LA"), ("120", "LB"), ("121", "MO"), ("122", "MY"), ("123", "MV"), ("124", "MN"),
    ("125", "NP"), ("126", "OM"), ("127", "PK"), ("128", "PS"), ("129", "PH"), ("130", "QA"), ("131", "SA"), ("132", "SG"),
    ("133", "KR"), ("134", "LK"), ("135", "SY"), ("136", "TH"), ("137", "TR"), ("138", "AE"), ("139", "YE"), ("141", "VN"),
    ("142", "CN"), ("143", "TW"), ("144", "TL"), ("145", "KZ"), ("146", "KG"), ("147", "TJ"), ("148", "TM"), ("149", "UZ"),
    ("201", "DZ"), ("202", "AO"), ("203", "BJ"), ("204", "BW"), ("205", "BI"), ("206", "CM"), ("208", "CV"), ("209", "CF"),
    ("211", "TD"), ("212", "KM"), ("213", "CG"), ("214", "DJ"), ("215", "EG"), ("216", "GQ"), ("217", "ET"), ("218", "GA"),
    ("219", "GM"), ("220", "GH"), ("221", "GN"), ("222", "GW"), ("223", "CI"), ("224", "KE"), ("225", "LR"), ("226", "LY"),
    ("227", "MG"), ("228", "MW"), ("229", "ML"), ("230", "MR"), ("231", "MU"), ("232", "MA"), ("233", "MZ"), ("234", "NA"),
    ("235", "NE"), ("236", "NG"), ("237", "RE"), ("238", "RW"), ("239", "ST"), ("240", "SN"), ("241", "SC"), ("242", "SL"),
    ("243", "SO"), ("244", "ZA"), ("245", "EH"), ("246", "SD"), ("247", "TZ"), ("248", "TG"), ("249", "TN"), ("250", "UG"),
    ("251", "BF"), ("252", "CD"), ("253", "ZM"), ("254", "ZW"), ("255", "LS"), ("257", "SZ"), ("258", "ER"), ("259", "YT"),
    ("301", "BE"), ("302", "DK"), ("303", "GB"), ("304", "DE"), ("305", "FR"), ("306", "IE"), ("307", "IT"), ("308", "LU"),
    ("309", "NL"), ("310", "GR"), ("311", "PT"), ("312", "ES"), ("313", "AL"), ("314", "AD"), ("315", "AT"), ("316", "BG"),
    ("318", "FI"), ("320", "GI"), ("321", "HU"), ("322", "IS"), ("323", "LI"), ("324", "MT"), ("325", "MC"), ("326", "NO"),
    ("327", "PL"), ("328", "RO"), ("329", "SM"), ("330", "SE"), ("331", "CH"), ("334", "EE"), ("335", "LV"), ("336", "LT"),
    ("337", "GE"), ("338", "AM"), ("339", "AZ"), ("340", "BY"), ("343", "MD"), ("344", "RU"), ("347", "UA"), ("350", "SI"),
    ("351", "HR"), ("352", "CZ"), ("353", "SK"), ("354", "MK"), ("355", "BA"), ("356", "VA"),
    ("401", "AG"), ("402", "AR"), ("403", "AW"), ("404", "BS"), ("405", "BB"), ("406", "BZ"), ("408", "BO"), ("410", "BR"),
    ("411", "KY"), ("412", "CL"), ("413", "CO"), ("414", "DM"), ("415", "CR"), ("416", "CU"), ("417", "CW"), ("418", "DO"),
    ("419", "EC"), ("420", "GF"), ("421", "GD"), ("422", "GP"), ("423", "GT"), ("424", "GY"), ("425", "HT"), ("426", "HN"),
    ("427", "JM"), ("428", "MQ"), ("429", "MX"), ("430", "MS"), ("431", "NI"), ("432", "PA"), ("433", "PY"), ("434", "PE"),
    ("435", "PR"), ("437", "LC"), ("439", "VC"), ("440", "SV"), ("441", "SR"), ("442", "TT"), ("443", "TC"), ("444", "UY"),
    ("445", "VE"), ("446", "VG"), ("447", "KN"), ("448", "PM"), ("501", "CA"), ("502", "US"), ("503", "GL"), ("504", "BM"),
    ("601", "AU"), ("602", "CK"), ("603", "FJ"), ("606", "NR"), ("607", "NC"), ("608", "VU"), ("609", "NZ"), ("610", "NF"),
    ("611", "PG"), ("613", "SB"), ("614", "TO"), ("617", "WS"), ("618", "KI"), ("619", "TV"), ("620", "FM"), ("621", "MH"),
    ("622", "PW"), ("623", "PF"), ("625", "WF"),
    ("341", "KZ"), ("342", "KG"), ("345", "TJ"), ("346", "TM"), ("348", "UZ"), ("624", "NC"),
];

/// Currencies, ISO 4217.
#[rustfmt::skip]
const CURRENCIES: &[(&str, &str)] = &[
    ("110", "HKD"), ("112", "IDR"), ("113", "IRR"), ("116", "JPY"), ("118", "KWD"), ("121", "MOP"), ("122", "MYR"), ("127", "PKR"),
    ("129", "PHP"), ("132", "SGD"), ("133", "KRW"), ("136", "THB"), ("142", "CNY"), ("300", "EUR"), ("302", "DKK"), ("303", "GBP"),
    ("326", "NOK"), ("330", "SEK"), ("331", "CHF"), ("501", "CAD"), ("502", "USD"), ("601", "AUD"), ("609", "NZD"),
];

/// Units, UN/ECE Recommendation 20. Chinese has a word of its own for counting each shape of thing; they all are pieces.
#[rustfmt::skip]
const UNITS: &[(&str, &str)] = &[
    ("007", "H87"), ("006", "SET"), ("025", "PR"), ("030", "MTR"), ("032", "MTK"), ("033", "MTQ"), ("035", "KGM"), ("036", "GRM"),
    ("061", "KWT"), ("062", "KWH"), ("067", "FOT"), ("070", "TNE"), ("076", "LBR"), ("083", "ONZ"), ("084", "CTM"), ("086", "YRD"),
    ("088", "INH"), ("095", "LTR"), ("096", "MLT"), ("127", "DZN"), ("129", "GRO"), ("147", "KMT"), ("054", "MIL"), ("043", "CEN"),
    ("001", "H87"), ("002", "H87"), ("003", "H87"), ("004", "H87"), ("005", "H87"), ("008", "H87"), ("009", "H87"), ("010", "H87"),
    ("011", "H87"), ("012", "H87"), ("013", "H87"), ("014", "H87"), ("015", "H87"), ("016", "H87"), ("017", "H87"), ("020", "H87"),
    ("022", "H87"), ("023", "H87"), ("027", "H87"), ("028", "H87"), ("039", "H87"), ("048", "H87"), ("131", "H87"), ("132", "H87"),
    ("134", "H87"), ("139", "H87"), ("163", "H87"), ("120", "H87"), ("122", "H87"), ("123", "H87"), ("125", "H87"), ("136", "H87"),
    ("140", "H87"), ("142", "H87"), ("026", "PR"),
];

/// Modes of transport, UN/ECE Recommendation 19.
const MODES: &[(&str, &str)] = &[("2", "1"), ("3", "2"), ("4", "3"), ("5", "4"), ("6", "5")];

/// A list of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Countries and regions; ISO 3166-1 alpha-2.
    Countries,
    /// Currencies; ISO 4217.
    Currencies,
    /// Units; UN/ECE Recommendation 20.
    Units,
    /// Modes of transport; UN/ECE Recommendation 19.
    Modes,
}

impl List {
    /// China Customs' codes with the international ones.
    #[must_use]
    pub fn rows(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Countries => COUNTRIES,
            Self::Currencies => CURRENCIES,
            Self::Units => UNITS,
            Self::Modes => MODES,
        }
    }

    /// The international code.
    #[must_use]
    pub fn ours(self, theirs: &str) -> Option<&'static str> {
        self.rows().iter().find(|(t, _)| *t == theirs).map(|(_, ours)| *ours)
    }

    /// China Customs' code; of several the first.
    #[must_use]
    pub fn theirs(self, ours: &str) -> Option<&'static str> {
        self.rows().iter().find(|(_, o)| *o == ours).map(|(theirs, _)| *theirs)
    }
}
