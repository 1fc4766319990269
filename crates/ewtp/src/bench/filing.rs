//! The filing that everything is measured with: 1 KiB as it is submitted, of text that doesn't repeat.

use ewtp_proto::{Message as _, v1};

use crate::demo::filings::{Goods, advance};

/// Bytes of a submission.
const BYTES: usize = 1024;

/// Makes submissions that differ in their LRN and description alone.
#[derive(Clone)]
pub(crate) struct Template {
    request: v1::SubmitRequest,
    dice: u64,
    run: String,
}

impl Template {
    /// From the hub KE to a country. `run` keeps LRNs of several runs apart.
    pub(crate) fn new(destination: &'static str, run: &str) -> Self {
        let goods = Goods {
            lrn: "B-00000000".into(),
            exporter: "Nyeri Growers' Cooperative",
            consignee: "Gent Roasters",
            destination,
            items: vec![
                ("090111", "Coffee, green, washed", "120", "980"),
                ("090240", "Tea, black, in bags of 5 kg", "35", "210"),
            ],
            filer_note: "",
        };
        let mut template = Self { request: advance(&goods), dice: 1, run: run.to_owned() };
        let missing = BYTES.saturating_sub(template.next(0).encoded_len());
        let texts = [template.random(missing / 2), template.random(missing - missing / 2)];
        let goods = template.request.filing.as_mut().and_then(|f| f.goods.as_mut());
        for (item, text) in goods.into_iter().flat_map(|g| &mut g.items).zip(texts) {
            item.description.push_str(&text);
        }
        template
    }

    /// Letters without a pattern, so that nothing compresses away.
    fn random(&mut self, letters: usize) -> String {
        let mut text = String::with_capacity(letters);
        for _ in 0..letters {
            self.dice ^= self.dice << 13;
            self.dice ^= self.dice >> 7;
            self.dice ^= self.dice << 17;
            text.push(char::from(b'a' + (self.dice % 26) as u8));
        }
        text
    }

    /// The n-th submission.
    pub(crate) fn next(&mut self, n: u64) -> v1::SubmitRequest {
        let mut request = self.request.clone();
        if let Some(filing) = &mut request.filing {
            if let Some(core) = &mut filing.core {
                core.lrn = format!("{}-{n:08}", self.run);
            }
            if let Some(goods) = &mut filing.goods {
                goods.transport_document = format!("HAWB-{n:08}");
            }
        }
        request
    }
}
