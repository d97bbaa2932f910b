//! What people write.

use cp_supervisor::cluster_file::{BadClusterFile, ClusterFile};
use cp_supervisor::token::Token;

/// A refusal names a line that the file has; what passes can be made.
pub(crate) fn cluster_file(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match ClusterFile::parse("c.toml", text) {
        Ok(file) => {
            assert!(!file.members.is_empty());
            for collection in &file.collections {
                let touch = |(a, b): (&cp_catalog::Bounds, &cp_catalog::Bounds)| a.upper() == b.lower();
                assert!(collection.bounds.iter().zip(collection.bounds.iter().skip(1)).all(touch), "ranges with a gap");
                assert!(collection.bounds.iter().all(|bounds| bounds.check(collection.mode).is_ok()));
            }
        }
        Err(BadClusterFile::Refused { line, .. }) => assert!(line >= 1 && line <= text.lines().count().max(1) + 1),
        Err(_) => {}
    }
}

pub(crate) fn cluster_file_corpus() -> Vec<Vec<u8>> {
    let member = |name| {
        format!(
            "[[member]]\nid = \"{name}\"\npeer = \"{name}:1\"\nclient = \"{name}:2\"\nfailure_domain = \"r/{name}\"\n"
        )
    };
    let all = format!(
        "{}{}kind = \"witness\"\nweight = 3\n[[collection]]\nname = \"x\"\ngroup = \"g\"\nmode = \"ordered\"\nsplit_at = [\"b\", \"m\"]\n\
         [[collection]]\nname = \"y\"\ngroup = \"g\"\nmode = \"hash\"\nranges = 4\nreplication_factor = 1\n",
        member("a"),
        member("w")
    );
    vec![member("a").into_bytes(), all.into_bytes()]
}

pub(crate) fn token(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(token) = text.parse::<Token>() {
        assert_eq!(token.to_string().parse(), Ok(token));
    }
}

pub(crate) fn token_corpus() -> Vec<Vec<u8>> {
    vec![b"7-0123456789abcdef0123456789abcdef".to_vec()]
}
