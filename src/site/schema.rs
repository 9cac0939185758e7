//! The JSON Schema of a site's file, for editors. The reader in `load` is what decides; tests prove that both know the
//! same keys.

/// The schema (draft 2020-12).
pub const SCHEMA: &str = include_str!("schema.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use serde_json::{Value, json};
    use toml::Value as Toml;

    use super::*;
    use crate::site::{Site, keys_read_from};

    /// A file with every table there is, so that the reader asks for every key.
    const EVERY_TABLE: &str = r#"
id = "shop"
start = ["https://www.shop.example/"]
schedule = { cron = "0 2 * * *" }
[incremental]
[client]
consent = [{ click = "css:#ok" }]
[client.headers]
[client.headers_env]
[[profile]]
name = "phone"
[explore]
allow_requests = [{ method = "POST", path = "/graphql", graphql = "query" }]
[login]
check = { url = "https://www.shop.example/me", logged_in = "css:#me" }
steps = [{ go = "https://www.shop.example/in" }]
cookies = [{ name = "sid", with_env = "SHOP_SID" }]
http_auth = { user = "me", password_env = "SHOP_PASSWORD" }
[login.headers_env]
[[suppress]]
check = "mixed-content"
reason = "archive"
by = "me"
"#;

    fn schema() -> Value {
        serde_json::from_str(SCHEMA).unwrap()
    }

    /// A file as an editor sees it: dates are strings.
    fn as_json(value: Toml) -> Value {
        match value {
            Toml::String(text) => json!(text),
            Toml::Integer(number) => json!(number),
            Toml::Float(number) => json!(number),
            Toml::Boolean(flag) => json!(flag),
            Toml::Datetime(date) => json!(date.to_string()),
            Toml::Array(list) => list.into_iter().map(as_json).collect(),
            Toml::Table(table) => Value::Object(table.into_iter().map(|(key, value)| (key, as_json(value))).collect()),
        }
    }

    fn keys_of(whole: &Value, schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
        if let Some(name) = schema["$ref"].as_str() {
            let meant = whole.pointer(name.trim_start_matches('#'));
            keys_of(whole, meant.expect("what is meant is there"), path, keys);
        }
        for (key, below) in schema["properties"].as_object().into_iter().flatten() {
            let name = if path.is_empty() {
                key.clone()
            } else {
                format!("{path}.{key}")
            };
            keys_of(whole, below, &name, keys);
            keys.insert(name);
        }
        for list in ["oneOf", "anyOf", "allOf"] {
            for one in schema[list].as_array().into_iter().flatten() {
                keys_of(whole, one, path, keys);
            }
        }
        if schema["items"].is_object() {
            keys_of(whole, &schema["items"], path, keys);
        }
    }

    /// Every table of the schema that names its keys refuses others.
    fn refuses_others(schema: &Value) -> bool {
        match schema {
            Value::Object(object) => {
                let closed =
                    !object.contains_key("properties") || object.get("additionalProperties") == Some(&json!(false));
                closed && object.values().all(refuses_others)
            }
            Value::Array(list) => list.iter().all(refuses_others),
            _ => true,
        }
    }

    #[test]
    fn reader_and_schema_know_the_same_keys() {
        let mut in_schema = BTreeSet::new();
        keys_of(&schema(), &schema(), "", &mut in_schema);
        let read = keys_read_from(EVERY_TABLE);
        let missing: Vec<_> = read.difference(&in_schema).collect();
        let unread: Vec<_> = in_schema.difference(&read).collect();
        assert!(missing.is_empty(), "add to src/site/schema.json: {missing:?}");
        assert!(
            unread.is_empty(),
            "the reader does not ask for these; take them out, or add their table to EVERY_TABLE: {unread:?}"
        );
    }

    #[test]
    fn the_schema_is_one_and_refuses_unknown_keys() {
        assert!(jsonschema::draft202012::meta::is_valid(&schema()));
        assert!(refuses_others(&schema()));
    }

    #[test]
    fn files_that_are_read_are_valid_and_the_others_are_not() {
        let validator = jsonschema::draft202012::new(&schema()).unwrap();
        for file in ["sitemaps/example.toml", "sitemaps/demo.toml"] {
            let text = std::fs::read_to_string(file).unwrap();
            let value = as_json(toml::from_str(&text).unwrap());
            let errors: Vec<_> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{file}: {errors:?}");
        }
        let least = "id = \"shop\"\nstart = [\"https://shop.example/\"]\n";
        for (more, fits) in [
            ("", true),
            ("titel = \"Shop\"", false),
            ("title = 7", false),
            ("sitemaps = \"auto\"", true),
            ("sitemaps = \"none\"", false),
            ("[limits]\nbytes = \"5GB\"\nduration = \"1h 30m\"", true),
            ("[limits]\nbytes = 5", false),
            ("[limits]\npage = 5", false),
            ("[scope]\nrobots = \"maybe\"", false),
            ("[scope]\nexclude = [\"logout\"]", false),
            ("[[suppress]]\nreason = \"x\"\nby = \"y\"", false),
            (
                "[[suppress]]\nhost = \"a.example\"\nreason = \"x\"\nby = \"y\"\nuntil = 2027-03-31",
                true,
            ),
        ] {
            let text = format!("{least}{more}\n");
            let value = as_json(toml::from_str(&text).unwrap());
            assert_eq!(validator.is_valid(&value), fits, "the schema: {text}");
            assert_eq!(
                Site::from_str(&text, Path::new("shop.toml")).is_ok(),
                fits,
                "the reader: {text}"
            );
        }
    }
}
