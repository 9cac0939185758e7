//! Forms with files, as attachments are sent: RFC 7578 as far as a client of a Jira needs it.

/// A file of a form.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File<'a> {
    pub name: String,
    pub mime: String,
    pub bytes: &'a [u8],
}

/// The files of a form whose field is `file`. `None` if this is no such form, or holds anything else.
pub(super) fn files<'a>(content_type: &str, body: &'a [u8]) -> Option<Vec<File<'a>>> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.trim().strip_prefix("boundary=")?.trim_matches('"');
    let mark = format!("--{boundary}");
    let mut rest = body.strip_prefix(mark.as_bytes())?;
    let part_end = format!("\r\n{mark}");
    let mut files = Vec::new();
    while let Some(part) = rest.strip_prefix(b"\r\n") {
        let head_end = find(part, b"\r\n\r\n")?;
        let content = &part[head_end + 4..];
        let end = find(content, part_end.as_bytes())?;
        files.push(file(std::str::from_utf8(&part[..head_end]).ok()?, &content[..end])?);
        rest = &content[end + part_end.len()..];
    }
    (rest.starts_with(b"--") && !files.is_empty()).then_some(files)
}

fn file<'a>(head: &str, bytes: &'a [u8]) -> Option<File<'a>> {
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.trim().eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let disposition = header("content-disposition")?;
    let parameter = |name: &str| {
        let (_, after) = disposition.split_once(&format!("; {name}=\""))?;
        after.split_once('"').map(|(value, _)| value.to_owned())
    };
    (parameter("name")? == "file").then_some(())?;
    Some(File {
        name: parameter("filename").filter(|name| !name.is_empty())?,
        mime: header("content-type").unwrap_or_else(|| "application/octet-stream".to_owned()),
        bytes,
    })
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KIND: &str = "multipart/form-data; boundary=x";

    fn form(name: &str, content: &[u8]) -> Vec<u8> {
        let head = format!("--x\r\nContent-Disposition: form-data; {name}\r\nContent-Type: image/png\r\n\r\n");
        [head.as_bytes(), content, b"\r\n--x--\r\n"].concat()
    }

    #[test]
    fn a_file_is_read_as_it_was() {
        let body = form("name=\"file\"; filename=\"a.png\"", b"\x89PNG\r\n--y\r\n\0");
        let read = files(KIND, &body).unwrap();
        assert_eq!(
            read,
            [File {
                name: "a.png".to_owned(),
                mime: "image/png".to_owned(),
                bytes: b"\x89PNG\r\n--y\r\n\0",
            }]
        );
    }

    #[test]
    fn what_is_no_form_with_files_is_refused() {
        let good = form("name=\"file\"; filename=\"a.png\"", b"x");
        for (kind, body) in [
            ("application/json", good.clone()),
            ("multipart/form-data; boundary=z", good.clone()),
            (KIND, form("name=\"other\"; filename=\"a.png\"", b"x")),
            (KIND, form("name=\"file\"", b"x")),
            (KIND, good[..good.len() - 4].to_vec()),
            (KIND, Vec::new()),
        ] {
            assert_eq!(files(kind, &body), None, "{kind}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_answered(body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = files(KIND, &[b"--x\r\n", &body[..]].concat());
        }
    }
}
