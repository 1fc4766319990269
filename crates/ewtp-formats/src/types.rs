//! The types of `proto/` with their comments, as the descriptors that the services are generated from have them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use ewtp_proto::{Message as _, v1};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::source_code_info::Location;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// Base64 in JSON.
    Bytes,
    /// A number that JSON holds.
    Number,
    /// A 64-bit number, a string of digits in JSON.
    LongNumber,
    /// True or false.
    Flag,
    /// One of an enum's names.
    Enum(String),
    /// A message.
    Message(String),
    /// Texts by texts.
    Map,
}

/// A field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    /// Name, in JSON as well.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
    /// It is a list.
    pub repeated: bool,
    /// Its comment.
    pub comment: String,
}

/// A message.
#[derive(Clone, Debug, Default)]
pub struct Struct {
    /// Its comment.
    pub comment: String,
    /// Its fields in order.
    pub fields: Vec<Field>,
}

/// The messages and enums of `ewtp.v1`.
#[derive(Clone, Debug, Default)]
pub struct Types {
    /// Messages by name.
    pub messages: BTreeMap<String, Struct>,
    /// Names of enums' values that may be sent, with their comments, by enum.
    pub enums: BTreeMap<String, Vec<(String, String)>>,
}

/// The types. They come with the crate: what doesn't decode is left out.
pub static TYPES: LazyLock<Types> = LazyLock::new(|| {
    let set = FileDescriptorSet::decode(v1::FILE_DESCRIPTOR_SET).unwrap_or_default();
    let mut out = Types::default();
    for file in set.file.iter().filter(|f| f.package() == "ewtp.v1") {
        read(file, &mut out);
    }
    out
});

fn read(file: &FileDescriptorProto, out: &mut Types) {
    let locations = file.source_code_info.as_ref().map_or(&[][..], |i| &i.location);
    let comment = |path: &[i32]| {
        let found = locations.iter().find(|l| l.path == path);
        let text = found.map_or("", Location::leading_comments);
        text.lines().map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned()
    };
    // Places in a descriptor by the numbers of descriptor.proto: messages are field 4, enums 5, fields and values 2.
    for (m, message) in (0..).zip(&file.message_type) {
        let field = |(f, field): (i32, &prost_types::FieldDescriptorProto)| Field {
            name: field.name().to_owned(),
            kind: kind(message, field),
            repeated: field.label() == Label::Repeated && kind(message, field) != Kind::Map,
            comment: comment(&[4, m, 2, f]),
        };
        let fields = (0..).zip(&message.field).map(field).collect();
        let name = message.name().to_owned();
        out.messages.insert(name, Struct { comment: comment(&[4, m]), fields });
    }
    for (e, values) in (0..).zip(&file.enum_type) {
        let value = |(v, value): (i32, &prost_types::EnumValueDescriptorProto)| {
            (value.name().to_owned(), comment(&[5, e, 2, v]))
        };
        let sent = (0..).zip(&values.value).filter(|(_, v)| v.number() != 0).map(value).collect();
        out.enums.insert(values.name().to_owned(), sent);
    }
}

fn kind(message: &DescriptorProto, field: &prost_types::FieldDescriptorProto) -> Kind {
    let name = field.type_name().rsplit('.').next().unwrap_or_default().to_owned();
    let is_map = message
        .nested_type
        .iter()
        .any(|n| n.name() == name && n.options.as_ref().is_some_and(|o| o.map_entry()));
    match field.r#type() {
        Type::Message if is_map => Kind::Map,
        Type::Message => Kind::Message(name),
        Type::Enum => Kind::Enum(name),
        Type::Bytes => Kind::Bytes,
        Type::Bool => Kind::Flag,
        Type::Uint64 | Type::Int64 => Kind::LongNumber,
        Type::Uint32 | Type::Int32 => Kind::Number,
        _ => Kind::Text,
    }
}

/// An element of a filing.
#[derive(Clone, Debug)]
pub struct Element {
    /// Our path; `[]` behind lists.
    pub path: String,
    /// What it holds.
    pub kind: Kind,
    /// Its comment.
    pub comment: String,
}

/// Every element of a filing that is no message, in order.
#[must_use]
pub fn elements() -> Vec<Element> {
    let mut out = Vec::new();
    walk("Filing", "", &mut out);
    out
}

fn walk(message: &str, above: &str, out: &mut Vec<Element>) {
    for field in TYPES.messages.get(message).map_or(&[][..], |m| &m.fields) {
        let dot = if above.is_empty() { "" } else { "." };
        let list = if field.repeated { "[]" } else { "" };
        let path = format!("{above}{dot}{}{list}", field.name);
        match &field.kind {
            Kind::Message(of) if of != "Money" && of != "Quantity" => walk(of, &path, out),
            kind => {
                out.push(Element { path, kind: kind.clone(), comment: field.comment.clone() });
            }
        }
    }
}
