//! The rows: ours, theirs, how, when.
//!
//! Sources: WCO Data Model 3.6 as HMRC's samples use it; what stands there without a place in HMRC's schema is kept for its name.

use super::{How, Row, Step, When};
use How::{Count, Function, Head, Instant, Kilograms, Money, Quantity, Tail, Text};
use When::{Always, Import, NotImport};

const ITEM: &str = "GoodsShipment/GovernmentAgencyGoodsItem[]";

#[rustfmt::skip]
const FILING: &[(&str, &str, How, When)] = &[
    ("goods.source.model_version", "../WCODataModelVersionCode", Text, Always),
    ("goods.source.type_name", "../WCOTypeName", Text, Always),
    ("goods.source.country", "../ResponsibleCountryCode", Text, Always),
    ("goods.source.agency", "../ResponsibleAgencyName", Text, Always),
    ("goods.source.customization", "../AgencyAssignedCustomizationCode", Text, Always),
    ("goods.source.customization_version", "../AgencyAssignedCustomizationVersionCode", Text, Always),
    ("core.function", "FunctionCode", Function, Always),
    ("core.lrn", "FunctionalReferenceID", Text, Always),
    ("core.mrn", "ID", Text, Always),
    ("core.declaration_type", "TypeCode", Text, Always),
    ("core.acceptance_time", "AcceptanceDateTime/DateTimeString", Instant, Always),
    ("core.issue_time", "IssueDateTime/DateTimeString", Instant, Always),
    ("core.declaration_office", "DeclarationOfficeID", Text, Always),
    ("core.supervising_office", "SupervisingOffice/ID", Text, Always),
    ("core.offices[0]", "ExitOffice/ID", Text, NotImport),
    ("core.amendments[].reason", "Amendment[]/ChangeReasonCode", Text, Always),
    ("core.amendments[].pointers[].section", "Amendment[]/Pointer[]/DocumentSectionCode", Text, Always),
    ("core.amendments[].pointers[].sequence", "Amendment[]/Pointer[]/SequenceNumeric", Count, Always),
    ("core.amendments[].pointers[].tag", "Amendment[]/Pointer[]/TagID", Text, Always),
    ("core.ucr", "GoodsShipment/UCR/TraderAssignedReferenceID", Text, Always),
    ("core.declarant_id", "Declarant/ID", Text, Always),
    ("core.agent_id", "Agent/ID", Text, Always),
    ("core.agent_status", "Agent/FunctionCode", Count, Always),
    ("core.exporter_id", "Exporter/ID", Text, Always),
    ("core.exporter_name", "Exporter/Name", Text, Always),
    ("core.importer_id", "GoodsShipment/Importer/ID", Text, Import),
    ("core.importer_name", "GoodsShipment/Importer/Name", Text, Import),
    ("core.importer_id", "GoodsShipment/Consignee/ID", Text, NotImport),
    ("core.importer_name", "GoodsShipment/Consignee/Name", Text, NotImport),
    ("core.departure_date", "DepartureDateTime", Text, Always),
    ("core.transport_mode", "BorderTransportMeans/ModeCode", Text, Always),
    ("core.conveyance", "BorderTransportMeans/JourneyID", Text, Always),
    ("core.port_of_discharge", "GoodsShipment/Consignment/UnloadingLocation/ID", Text, Always),
    ("core.country_of_export", "GoodsShipment/ExportCountry/ID", Text, Always),
    ("core.country_of_destination", "GoodsShipment/Destination/CountryCode", Text, Always),
    ("parties.fiscal_reference", "GoodsShipment/DomesticDutyTaxParty[0 RoleCode=FR5]/ID", Text, Always),
    ("parties.fiscal_references[].id", "GoodsShipment/DomesticDutyTaxParty[+ RoleCode=FR5]/ID", Text, Always),
    ("parties.fiscal_references[].role", "GoodsShipment/DomesticDutyTaxParty[+ RoleCode=FR5]/RoleCode", Text, Always),
    ("parties.aeo[].id", "GoodsShipment/AEOMutualRecognitionParty[]/ID", Text, Always),
    ("parties.aeo[].role", "GoodsShipment/AEOMutualRecognitionParty[]/RoleCode", Text, Always),
    ("parties.authorisations[].id", "AuthorisationHolder[]/ID", Text, Always),
    ("parties.authorisations[].category", "AuthorisationHolder[]/CategoryCode", Text, Always),
    ("goods.gross_mass_kg", "TotalGrossMassMeasure", Kilograms, Always),
    ("goods.total_packages", "TotalPackageQuantity", Count, Always),
    ("goods.transport_document", "GoodsShipment/Consignment/TransportContractDocument/ID", Text, Always),
    ("goods.master_document", "Consignment/TransportContractDocument/ID", Text, Always),
    ("goods.border_transport.id", "BorderTransportMeans/ID", Text, Always),
    ("goods.border_transport.id_type", "BorderTransportMeans/IdentificationTypeCode", Text, Always),
    ("goods.border_transport.nationality", "BorderTransportMeans/RegistrationNationalityCode", Text, Always),
    ("goods.arrival_transport.id", "GoodsShipment/Consignment/ArrivalTransportMeans/ID", Text, Always),
    ("goods.arrival_transport.id_type", "GoodsShipment/Consignment/ArrivalTransportMeans/IdentificationTypeCode", Text, Always),
    ("goods.arrival_transport.mode", "GoodsShipment/Consignment/ArrivalTransportMeans/ModeCode", Text, Always),
    ("goods.departure_transport.id", "GoodsShipment/Consignment/DepartureTransportMeans/ID", Text, Always),
    ("goods.departure_transport.id_type", "GoodsShipment/Consignment/DepartureTransportMeans/IdentificationTypeCode", Text, Always),
    ("goods.departure_transport.mode", "GoodsShipment/Consignment/DepartureTransportMeans/ModeCode", Text, Always),
    ("goods.containerised", "GoodsShipment/Consignment/ContainerCode", Text, Always),
    ("goods.location", "GoodsShipment/Consignment/GoodsLocation/ID", Text, Always),
    ("goods.goods_location.name", "GoodsShipment/Consignment/GoodsLocation/Name", Text, Always),
    ("goods.goods_location.type", "GoodsShipment/Consignment/GoodsLocation/TypeCode", Text, Always),
    ("goods.goods_location.qualifier", "GoodsShipment/Consignment/GoodsLocation/Address/TypeCode", Text, Always),
    ("goods.goods_location.country", "GoodsShipment/Consignment/GoodsLocation/Address/CountryCode", Text, Always),
    ("goods.containers[].id", "GoodsShipment/Consignment/TransportEquipment[]/ID", Text, Always),
    ("goods.containers[].size_type", "GoodsShipment/Consignment/TransportEquipment[]/CharacteristicCode", Text, Always),
    ("goods.containers[].seals[].id", "GoodsShipment/Consignment/TransportEquipment[]/Seal[]/ID", Text, Always),
    ("goods.containers[].seals[].party", "GoodsShipment/Consignment/TransportEquipment[]/Seal[]/AffixingPartyRoleCode", Text, Always),
    ("goods.freight_payment", "Consignment/Freight/PaymentMethodCode", Text, Always),
    ("goods.itinerary[]", "Consignment/Itinerary[]/RoutingCountryCode", Text, Always),
    ("goods.documents[].category", "AdditionalDocument[]/CategoryCode", Text, Always),
    ("goods.documents[].type", "AdditionalDocument[]/TypeCode", Text, Always),
    ("goods.documents[].id", "AdditionalDocument[]/ID", Text, Always),
    ("goods.previous_documents[].category", "GoodsShipment/PreviousDocument[]/CategoryCode", Text, Always),
    ("goods.previous_documents[].type", "GoodsShipment/PreviousDocument[]/TypeCode", Text, Always),
    ("goods.previous_documents[].id", "GoodsShipment/PreviousDocument[]/ID", Text, Always),
    ("goods.previous_documents[].line", "GoodsShipment/PreviousDocument[]/LineNumeric", Count, Always),
    ("goods.statements[].code", "AdditionalInformation[]/StatementCode", Text, Always),
    ("goods.statements[].text", "AdditionalInformation[]/StatementDescription", Text, Always),
    ("goods.statements[].type", "AdditionalInformation[]/StatementTypeCode", Text, Always),
    ("goods.statements[].pointers[].section", "AdditionalInformation[]/Pointer[]/DocumentSectionCode", Text, Always),
    ("goods.statements[].pointers[].sequence", "AdditionalInformation[]/Pointer[]/SequenceNumeric", Count, Always),
    ("goods.statements[].pointers[].tag", "AdditionalInformation[]/Pointer[]/TagID", Text, Always),
    ("goods.warehouse.id", "GoodsShipment/Warehouse/ID", Text, Always),
    ("goods.warehouse.type", "GoodsShipment/Warehouse/TypeCode", Text, Always),
    ("value.invoice_total", "InvoiceAmount", Money, Always),
    ("value.freight", "GoodsShipment/CustomsValuation/FreightChargeAmount", Money, Always),
    ("value.terms", "GoodsShipment/TradeTerms/ConditionCode", Text, Always),
    ("value.terms_location", "GoodsShipment/TradeTerms/LocationID", Text, Always),
    ("value.nature_of_transaction", "GoodsShipment/TransactionNatureCode", Text, Always),
    ("value.guarantee.type", "ObligationGuarantee[0]/SecurityDetailsCode", Text, Always),
    ("value.guarantee.reference", "ObligationGuarantee[0]/ReferenceID", Text, Always),
    ("value.guarantee.other_reference", "ObligationGuarantee[0]/ID", Text, Always),
    ("value.guarantee.amount", "ObligationGuarantee[0]/AmountAmount", Money, Always),
    ("value.further_guarantees[].type", "ObligationGuarantee[+]/SecurityDetailsCode", Text, Always),
    ("value.further_guarantees[].reference", "ObligationGuarantee[+]/ReferenceID", Text, Always),
    ("value.further_guarantees[].other_reference", "ObligationGuarantee[+]/ID", Text, Always),
    ("value.further_guarantees[].amount", "ObligationGuarantee[+]/AmountAmount", Money, Always),
];

/// Paths below an item.
#[rustfmt::skip]
const ITEMS: &[(&str, &str, How, When)] = &[
    ("core.items[].number", "SequenceNumeric", Count, Always),
    ("core.items[].commodity_code", "Commodity/Classification[0 IdentificationTypeCode=TSP]/ID", Text, Always),
    ("core.items[].origin", "Origin[0]/CountryCode", Text, Always),
    ("core.items[].quantity", "Commodity/GoodsMeasure/TariffQuantity", Quantity, Always),
    ("goods.items[].description", "Commodity/Description", Text, Always),
    ("goods.items[].gross_mass_kg", "Commodity/GoodsMeasure/GrossMassMeasure", Kilograms, Always),
    ("goods.items[].net_mass_kg", "Commodity/GoodsMeasure/NetNetWeightMeasure", Kilograms, Always),
    ("goods.items[].package_type", "Packaging[0]/TypeCode", Text, Always),
    ("goods.items[].packages", "Packaging[0]/QuantityQuantity", Count, Always),
    ("goods.items[].marks", "Packaging[0]/MarksNumbersID", Text, Always),
    ("goods.items[].further_packaging[].type", "Packaging[+]/TypeCode", Text, Always),
    ("goods.items[].further_packaging[].count", "Packaging[+]/QuantityQuantity", Count, Always),
    ("goods.items[].further_packaging[].marks", "Packaging[+]/MarksNumbersID", Text, Always),
    ("goods.items[].procedure", "GovernmentProcedure[0]/CurrentCode", Head, Always),
    ("goods.items[].procedure", "GovernmentProcedure[0]/PreviousCode", Tail, Always),
    ("goods.items[].additional_procedures[]", "GovernmentProcedure[+]/CurrentCode", Text, Always),
    ("goods.items[].documents[].category", "AdditionalDocument[]/CategoryCode", Text, Always),
    ("goods.items[].documents[].type", "AdditionalDocument[]/TypeCode", Text, Always),
    ("goods.items[].documents[].id", "AdditionalDocument[]/ID", Text, Always),
    ("goods.items[].documents[].status", "AdditionalDocument[]/LPCOExemptionCode", Text, Always),
    ("goods.items[].documents[].reason", "AdditionalDocument[]/Name", Text, Always),
    ("goods.items[].documents[].quantity", "AdditionalDocument[]/WriteOff/QuantityQuantity", Quantity, Always),
    ("goods.items[].documents[].issuer", "AdditionalDocument[]/Submitter/Name", Text, Always),
    ("goods.items[].previous_documents[].category", "PreviousDocument[]/CategoryCode", Text, Always),
    ("goods.items[].previous_documents[].type", "PreviousDocument[]/TypeCode", Text, Always),
    ("goods.items[].previous_documents[].id", "PreviousDocument[]/ID", Text, Always),
    ("goods.items[].previous_documents[].line", "PreviousDocument[]/LineNumeric", Count, Always),
    ("goods.items[].statements[].code", "AdditionalInformation[]/StatementCode", Text, Always),
    ("goods.items[].statements[].text", "AdditionalInformation[]/StatementDescription", Text, Always),
    ("goods.items[].statements[].type", "AdditionalInformation[]/StatementTypeCode", Text, Always),
    ("goods.items[].classifications[].code", "Commodity/Classification[+ IdentificationTypeCode=TSP]/ID", Text, Always),
    ("goods.items[].classifications[].type", "Commodity/Classification[+ IdentificationTypeCode=TSP]/IdentificationTypeCode", Text, Always),
    ("goods.items[].origin_type", "Origin[0]/TypeCode", Text, Always),
    ("goods.items[].further_origins[].country", "Origin[+]/CountryCode", Text, Always),
    ("goods.items[].further_origins[].type", "Origin[+]/TypeCode", Text, Always),
    ("goods.items[].containers[]", "Commodity/TransportEquipment[]/ID", Text, Always),
    ("goods.items[].country_of_export", "ExportCountry/ID", Text, Always),
    ("goods.items[].country_of_destination", "Destination/CountryCode", Text, Always),
    ("value.items[].value", "CustomsValueAmount", Money, Import),
    ("value.items[].statistical_value", "StatisticalValueAmount", Money, Import),
    ("value.items[].value", "StatisticalValueAmount", Money, NotImport),
    ("value.items[].price", "Commodity/InvoiceLine/ItemChargeAmount", Money, Always),
    ("value.items[].nature_of_transaction", "TransactionNatureCode", Text, Always),
    ("value.items[].valuation_method", "CustomsValuation/MethodCode", Text, Always),
    ("value.items[].valuation_indicators", "ValuationAdjustment/AdditionCode", Text, Always),
    ("value.items[].duties[].type", "Commodity/DutyTaxFee[]/TypeCode", Text, Always),
    ("value.items[].duties[].preference", "Commodity/DutyTaxFee[]/DutyRegimeCode", Text, Always),
    ("value.items[].duties[].method", "Commodity/DutyTaxFee[]/Payment/MethodCode", Text, Always),
    ("value.items[].duties[].quota", "Commodity/DutyTaxFee[]/QuotaOrderID", Text, Always),
    ("value.items[].duties[].base", "Commodity/DutyTaxFee[]/SpecificTaxBaseQuantity", Quantity, Always),
    ("value.items[].duties[].assessed", "Commodity/DutyTaxFee[]/Payment/TaxAssessedAmount", Money, Always),
    ("value.items[].duties[].payable", "Commodity/DutyTaxFee[]/Payment/PaymentAmount", Money, Always),
];

/// Parties with id, name and address.
const PARTIES: &[(&str, &str, When)] = &[
    ("parties.submitter", "Submitter", Always),
    ("parties.carrier", "Consignment/Carrier", Always),
    ("parties.seller", "GoodsShipment/Seller", Always),
    ("parties.buyer", "GoodsShipment/Buyer", Always),
    ("parties.consignee", "GoodsShipment/Consignee", Import),
];
/// Parties whose id stands in part `core`.
const NAMED: &[(&str, &str)] = &[("parties.declarant", "Declarant"), ("parties.agent", "Agent")];
/// Addresses of parties whose id and name stand in part `core`.
const ADDRESSES: &[(&str, &str, When)] = &[
    ("parties.exporter_address", "Exporter/Address", Always),
    ("parties.importer_address", "GoodsShipment/Importer/Address", Import),
    ("parties.importer_address", "GoodsShipment/Consignee/Address", NotImport),
];
const ADDRESS: &[(&str, &str)] = &[
    ("line", "Line"),
    ("city", "CityName"),
    ("postcode", "PostcodeID"),
    ("country", "CountryCode"),
];

pub(super) fn all() -> Vec<Row> {
    let mut out: Vec<Row> = FILING.iter().map(|(o, w, how, when)| row(o, w, *how, *when)).collect();
    for (ours, theirs, when) in ADDRESSES {
        out.extend(address(ours, theirs, *when));
    }
    for (ours, theirs, when) in PARTIES {
        out.push(row(&format!("{ours}.id"), &format!("{theirs}/ID"), Text, *when));
        out.extend(named(ours, theirs, *when));
    }
    for (ours, theirs) in NAMED {
        out.extend(named(ours, theirs, Always));
    }
    out.extend(ITEMS.iter().map(|(o, w, how, when)| row(o, &format!("{ITEM}/{w}"), *how, *when)));
    out
}

fn named(ours: &str, theirs: &str, when: When) -> Vec<Row> {
    let mut out = vec![row(&format!("{ours}.name"), &format!("{theirs}/Name"), Text, when)];
    out.extend(address(&format!("{ours}.address"), &format!("{theirs}/Address"), when));
    out
}

fn address(ours: &str, theirs: &str, when: When) -> Vec<Row> {
    let one = |(field, element): &(&str, &str)| {
        row(&format!("{ours}.{field}"), &format!("{theirs}/{element}"), Text, when)
    };
    ADDRESS.iter().map(one).collect()
}

fn row(ours: &str, theirs: &str, how: How, when: When) -> Row {
    let (theirs, envelope) = match theirs.strip_prefix("../") {
        Some(rest) => (rest, true),
        None => (theirs, false),
    };
    let steps = theirs.split('/').map(step).collect();
    Row { ours: ours.to_owned(), steps, envelope, how, when }
}

fn step(text: &str) -> Step {
    let Some((name, place)) = text.split_once('[') else { return Step::One(text.to_owned()) };
    let name = name.to_owned();
    let (place, guard) = match place.trim_end_matches(']').split_once(' ') {
        Some((place, guard)) => (place, guard.split_once('=')),
        None => (place.trim_end_matches(']'), None),
    };
    let guard = guard.map(|(leaf, value)| (leaf.to_owned(), value.to_owned()));
    match place {
        "0" => Step::First(name, guard),
        "+" => Step::Rest(name, guard),
        _ => Step::Each(name),
    }
}
