use ewtp_log::statement::{
    Header, attachment_digest, commitment, format_time, open_part, part_digest, seal_part,
};
use proptest::prelude::*;

use crate::vectors::{bytes, hash, json, ours, text};

#[test]
fn parts_headers_and_attachments_are_those_of_the_vectors() {
    let v = json(&ours("lanes/encodings.json"));
    for p in v["parts"].as_array().unwrap() {
        let (name, content) = (text(&p["name"]), bytes(&p["content"]));
        let blob = seal_part(name, &content, bytes(&p["salt"]).try_into().unwrap());
        assert_eq!(
            blob.len() as u64,
            p["blob_bytes"].as_u64().unwrap(),
            "{name} of {}",
            content.len()
        );
        assert_eq!(part_digest(name, &blob), hash(&p["digest"]));
        assert_eq!(open_part(name, &blob).unwrap(), content);
    }
    let a = &v["attachment"];
    assert_eq!(
        attachment_digest(&bytes(&a["salt"]).try_into().unwrap(), &bytes(&a["bytes"])),
        hash(&a["digest"])
    );
    let header = text(&v["header"]["text"]);
    assert_eq!(commitment(header.as_bytes()), hash(&v["header"]["commitment"]));
    assert_eq!(Header::parse(header.as_bytes()).unwrap().to_text().unwrap(), header);
    let later = match &v["header_with_later_line"] {
        serde_json::Value::String(s) => s.as_str(),
        other => text(&other["text"]),
    };
    assert_eq!(Header::parse(later.as_bytes()).unwrap().later.len(), 1);
    let refused = v["refuse_header"].as_object().unwrap();
    assert!(refused.len() >= 13);
    for (why, header) in refused {
        assert!(Header::parse(text(header).as_bytes()).is_err(), "{why}");
    }
}

#[test]
fn times_outside_the_calendar_name_no_instant() {
    let v = json(&ours("lanes/encodings.json"));
    let header = text(&v["header"]["text"]);
    let with = |t: &str| {
        Header::parse(header.replace("2026-01-01T00:00:00.000Z", t).as_bytes()).unwrap().time_ms()
    };
    assert_eq!(with("2026-01-01T00:00:00.000Z"), Some(1_767_225_600_000));
    assert_eq!(with("2024-02-29T23:59:59.999Z"), Some(1_709_251_199_999));
    for bad in ["2026-02-29T00:00:00.000Z", "2026-13-01T00:00:00.000Z", "2026-01-01T24:00:00.000Z"]
    {
        assert_eq!(with(bad), None, "{bad}");
    }
}

proptest! {
    #[test]
    fn any_content_comes_back_and_padding_is_exact(content in prop::collection::vec(any::<u8>(), 0..3000), salt in any::<[u8; 16]>()) {
        for name in ["core", "authority"] {
            let mut blob = seal_part(name, &content, salt);
            prop_assert_eq!(open_part(name, &blob).unwrap(), &content[..]);
            let last = blob.len() - 1;
            if last >= 20 + content.len() {
                blob[last] = 1;
                prop_assert!(open_part(name, &blob).is_err());
            }
            blob.push(0);
            prop_assert!(open_part(name, &blob).is_err());
        }
    }

    #[test]
    fn times_round_trip(ms in 0u64..253_402_300_800_000) {
        let v = format_time(ms);
        let header = format!("ewtp-statement/v1\nhub DK\norigin a.b/g1\nnonce AAECAwQFBgcICQoLDA0ODw==\nid a b 1\ntime {v}\npart core {}\n", ewtp_log::Hash::EMPTY_ROOT);
        prop_assert_eq!(Header::parse(header.as_bytes()).unwrap().time_ms(), Some(ms));
    }
}
