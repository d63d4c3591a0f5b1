use std::collections::BTreeSet;
use std::path::Path;

use super::*;

#[test]
fn each_schema_file_is_a_component() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/openapi/schemas");
    let files = std::fs::read_dir(folder).unwrap();
    let files: BTreeSet<String> = files
        .map(|file| file.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let listed: BTreeSet<String> = components().into_iter().map(|(name, _)| name).collect();
    assert_eq!(files, listed);
    assert_eq!(listed.len(), COMPONENTS.len());
}

#[test]
fn each_component_is_referred_to_and_exists() {
    let all = components();
    let mut referred = BTreeSet::from(["AnyError".to_owned()]);
    for response in RESPONSES {
        match response.body {
            ResponseBody::Json(name) | ResponseBody::EventStream(name) => {
                referred.insert(name.to_owned());
            }
            ResponseBody::Binary(_) | ResponseBody::Empty => {}
        }
    }
    all.values()
        .for_each(|schema| add_references(schema, &mut referred));
    let listed: BTreeSet<String> = all.into_iter().map(|(name, _)| name).collect();
    assert_eq!(referred, listed);
}

/// Adds the names of the components to which `schema` refers.
fn add_references(schema: &Value, names: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            let target = fields.get("$ref").and_then(Value::as_str);
            let name = target.and_then(|target| target.strip_prefix("#/components/schemas/"));
            names.extend(name.map(ToOwned::to_owned));
            fields
                .values()
                .for_each(|inner| add_references(inner, names));
        }
        Value::Array(items) => items.iter().for_each(|item| add_references(item, names)),
        _ => {}
    }
}
