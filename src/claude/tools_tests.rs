use super::ToolServer;
use crate::claude::protocol::{Event, parse};
use crate::domain::Part;
use crate::domain::ToolResult;

fn call(server: &mut ToolServer, tool_use_id: &str) -> Option<String> {
    let line = format!(
        r#"{{"type":"control_request","request_id":"r-{tool_use_id}","request":{{"subtype":"mcp_message","server_name":"c","message":{{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{{"name":"look","_meta":{{"claudecode/toolUseId":"{tool_use_id}"}}}}}}}}}}"#
    );
    let Event::Mcp(request) = parse(line.as_bytes()).unwrap() else { panic!("no message") };
    server.receive(&request).map(|line| String::from_utf8(line).unwrap())
}

fn result(id: &str) -> ToolResult {
    ToolResult { id: id.to_owned(), parts: vec![Part::text(format!("result of {id}"))], is_error: false }
}

fn give(server: &mut ToolServer, ids: &[&str]) -> Vec<String> {
    let results: Vec<_> = ids.iter().map(|id| result(id)).collect();
    let lines = server.give(&results.iter().collect::<Vec<_>>());
    lines.into_iter().map(|line| String::from_utf8(line).unwrap()).collect()
}

#[test]
fn a_result_finds_its_call_whichever_comes_first() {
    let mut server = ToolServer::default();
    assert_eq!(call(&mut server, "1"), None);
    let lines = give(&mut server, &["2", "1"]);
    assert_eq!(lines.len(), 1);
    assert!(lines[0].contains("r-1") && lines[0].contains("result of 1"), "{lines:?}");
    let answered = call(&mut server, "2").unwrap();
    assert!(answered.contains("r-2") && answered.contains("result of 2"), "{answered}");
    assert_eq!(call(&mut server, "2"), None, "a result is given once");
}

#[test]
fn a_forgotten_conversation_has_no_calls() {
    let mut server = ToolServer::default();
    call(&mut server, "1");
    give(&mut server, &["2"]);
    server.forget_calls();
    assert!(give(&mut server, &["1"]).is_empty());
    assert_eq!(call(&mut server, "2"), None);
}

#[test]
fn tools_are_offered_by_name() {
    let mut server = ToolServer::default();
    let names = ["a".to_owned(), "b".to_owned()];
    assert!(server.offers(&[]) && !server.offers(&names));
    server.set(&names);
    assert!(server.offers(&names[1..]));
}
