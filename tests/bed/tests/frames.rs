use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};

use crate::bed::frames::RequestReader;

#[allow(clippy::unwrap_used, reason = "writing to memory")]
fn masked(mut frame: Frame) -> Vec<u8> {
    frame.header_mut().mask = Some([1, 2, 3, 4]);
    let mut bytes = Vec::new();
    frame.format(&mut bytes).unwrap();
    bytes
}

fn stream() -> Vec<u8> {
    let request = r#"{"type":"req","id":"1","method":"config.get","params":{}}"#;
    let (first, second) = request.split_at(20);
    let text = OpCode::Data(Data::Text);
    let long = format!(
        r#"{{"type":"req","id":"2","method":"agents.files.set","params":"{}"}}"#,
        "x".repeat(70_000)
    );
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        masked(Frame::message(first.to_owned(), text, false)),
        masked(Frame::ping("still there?")),
        masked(Frame::message(
            second.to_owned(),
            OpCode::Data(Data::Continue),
            true,
        )),
        masked(Frame::message("no json", text, true)),
        masked(Frame::message(
            r#"{"type":"event","event":"x"}"#,
            text,
            true,
        )),
        masked(Frame::message(long, text, true)),
    ]
    .concat()
}

#[test]
fn requests_are_found_however_the_bytes_are_cut() {
    let bytes = stream();
    for size in [1, 7, 64, 4096, bytes.len()] {
        let mut reader = RequestReader::default();
        let methods: Vec<_> = bytes
            .chunks(size)
            .flat_map(|chunk| reader.read(chunk))
            .collect();
        assert_eq!(
            methods,
            ["config.get", "agents.files.set"],
            "pieces of {size}"
        );
    }
}
