"""Files one consignment at a hub and waits for the destination's decision."""
import json, sys
import grpc
from google.protobuf import json_format
from ewtp.v1 import trade_pb2, trade_pb2_grpc

address, folder, document = sys.argv[1:4]
read = lambda name: open(name, "rb").read()
credentials = grpc.ssl_channel_credentials(
    root_certificates=read(f"{folder}/hub.crt"),
    private_key=read(f"{folder}/coop.key"),
    certificate_chain=read(f"{folder}/coop.crt"),
)
with grpc.secure_channel(address, credentials) as channel:
    hub = trade_pb2_grpc.TradeServiceStub(channel)
    request = trade_pb2.SubmitRequest()
    json_format.Parse(read(document), request.filing)
    answer = hub.Submit(request)
    if answer.HasField("refused"):
        for v in answer.refused.violations:
            print(f"{v.code}: {v.path} is {v.value!r}; allowed: {v.allowed}; {v.fix}")
        sys.exit(1)
    accepted = answer.accepted
    print("accepted:", accepted.case_id, "MRN", accepted.mrn, "log entry", accepted.log_index)
    print("code for who adopts it:", accepted.one_time_code)
    # In earnest the cursor is kept, so that nothing is missed over restarts.
    for change in hub.WatchCases(trade_pb2.WatchCasesRequest(cursor=0)):
        state = trade_pb2.CaseState.Name(change.case.state)
        if change.case.case_id == accepted.case_id:
            print("change", change.cursor, state)
            if state in ("CASE_STATE_CLEARED", "CASE_STATE_DO_NOT_LOAD"):
                break
    metadata = [("accept-language", "fr, en")]
    case = hub.GetCase(trade_pb2.GetCaseRequest(case_id=accepted.case_id), metadata=metadata).case
    for decision in case.decisions:
        print(decision.statement.hub, decision.core.effect, list(decision.texts))
    receipt = hub.GetReceipt(trade_pb2.GetReceiptRequest(
        case_id=case.case_id, commitment=case.decisions[0].statement.commitment))
    open("decision.receipt", "w").write(receipt.receipt)
    open("decision.descriptors.jsonl", "w").write(receipt.descriptors)
