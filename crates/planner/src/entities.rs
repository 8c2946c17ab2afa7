//! Entities: single lines of account files, as stages describe them.
//!
//! <https://github.com/mudler/entities>

use edge_model::document::tree::{self, Node};
use edge_model::{Error, Result};

use crate::accounts::{LOCKED, clean, remove_line, set_line};

/// One line of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    pub kind: Kind,
    /// First field of the line.
    pub name: String,
    fields: Vec<String>,
    /// Of a group: they are added to those that are there.
    pub members: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    User,
    Group,
    Shadow,
    GroupShadow,
}

impl Kind {
    /// The file that is meant when none is named.
    pub fn file(self) -> &'static str {
        match self {
            Kind::User => "/etc/passwd",
            Kind::Group => "/etc/group",
            Kind::Shadow => "/etc/shadow",
            Kind::GroupShadow => "/etc/gshadow",
        }
    }
}

impl Entity {
    /// # Errors
    /// [`edge_model::Class::InvalidInput`] when the text is no entity of a kind that is known.
    pub fn parse(text: &str) -> Result<Self> {
        let node = tree::read("entity", text).map_err(|problem| Error::invalid(problem.to_string()))?;
        let field = |name: &str| node.get(name).and_then(Node::scalar).unwrap_or_default().trim().to_owned();
        let or = |name: &str, otherwise: &str| {
            let text = field(name);
            if text.is_empty() { otherwise.to_owned() } else { text }
        };
        let list = |name: &str| -> Vec<String> {
            let text = field(name);
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        };
        let (kind, name, fields, members) = match field("kind").as_str() {
            "user" => {
                let name = field("username");
                let home = or("homedir", &format!("/home/{name}"));
                let fields = vec![
                    or("password", "x"),
                    field("uid"),
                    field("gid"),
                    field("info"),
                    home,
                    or("shell", "/bin/bash"),
                ];
                (Kind::User, name, fields, Vec::new())
            }
            "group" => {
                let fields = vec![or("password", "x"), field("gid")];
                (Kind::Group, field("group_name"), fields, list("users"))
            }
            "shadow" => {
                let fields = vec![
                    or("password", LOCKED),
                    or("last_changed", "1"),
                    or("minimum_changed", "0"),
                    or("maximum_changed", "99999"),
                    or("warn", "7"),
                    field("inactive"),
                    field("expire"),
                    String::new(),
                ];
                (Kind::Shadow, field("username"), fields, Vec::new())
            }
            "gshadow" => {
                let fields = vec![or("password", LOCKED), field("administrators")];
                (Kind::GroupShadow, field("name"), fields, list("members"))
            }
            other => return Err(Error::invalid(format!("an entity of kind {other:?} is not known"))),
        };
        if name.is_empty() {
            return Err(Error::invalid("an entity has no name"));
        }
        Ok(Self { kind, name, fields, members })
    }

    /// A field of its line, as it was written.
    pub fn field(&self, at: usize) -> Option<&str> {
        self.fields.get(at).map(String::as_str).filter(|text| !text.is_empty())
    }

    /// Makes the line or replaces it. Numbers that are not given stay what they are.
    pub fn put_into(&self, text: &mut String) {
        let present: Vec<String> = text
            .lines()
            .find(|line| line.split(':').next() == Some(&self.name))
            .map(|line| line.split(':').skip(1).map(str::to_owned).collect())
            .unwrap_or_default();
        let mut fields: Vec<String> = self
            .fields
            .iter()
            .enumerate()
            .map(|(at, field)| match present.get(at) {
                Some(known) if field.is_empty() => known.clone(),
                _ => clean(field),
            })
            .collect();
        if matches!(self.kind, Kind::Group | Kind::GroupShadow) {
            let known = present.get(self.fields.len()).map(String::as_str).unwrap_or_default();
            let mut members: Vec<&str> = known.split(',').filter(|member| !member.is_empty()).collect();
            members.extend(
                self.members
                    .iter()
                    .map(String::as_str)
                    .filter(|new| !known.split(',').any(|one| one == *new)),
            );
            fields.push(clean(&members.join(",")));
        }
        let name = clean(&self.name);
        set_line(text, &name, &format!("{name}:{}", fields.join(":")));
    }

    /// Removes the line; every other file keeps what it has.
    pub fn remove_from(&self, text: &mut String) {
        remove_line(text, &self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_is_made_changed_and_removed() {
        let mut group = String::from("root:x:0:\nwheel:x:10:anna\n");
        let entity = |text: &str| Entity::parse(text).unwrap();
        entity("kind: group\ngroup_name: wheel\nusers: 'anna,ben'\n").put_into(&mut group);
        assert_eq!(group, "root:x:0:\nwheel:x:10:anna,ben\n");
        entity("{kind: group, group_name: shop, gid: 900}").put_into(&mut group);
        assert!(group.ends_with("shop:x:900:\n"), "{group}");
        entity("{kind: group, group_name: wheel}").remove_from(&mut group);
        assert_eq!(group, "root:x:0:\nshop:x:900:\n");
        let mut shadow = String::from("site:$6$x:1:0:99999:7:::\n");
        entity("{kind: shadow, username: site, password: '$6$y'}").put_into(&mut shadow);
        assert_eq!(shadow, "site:$6$y:1:0:99999:7:::\n");
        for (text, why) in [("kind: robot", "robot"), ("{kind: user}", "no name"), ("[1", "entity")] {
            assert!(Entity::parse(text).unwrap_err().to_string().contains(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_entity_breaks_other_lines(name in "[a-z\n:]{1,8}", password in ".{0,20}") {
            let text = format!("kind: shadow\nusername: {name:?}\npassword: {password:?}\n");
            if let Ok(entity) = Entity::parse(&text) {
                let mut file = String::from("root:*:1:0:99999:7:::\n");
                entity.put_into(&mut file);
                prop_assert!(file.starts_with("root:*:1:0:99999:7:::\n"));
                prop_assert!(file.lines().count() <= 2);
            }
        }
    }
}
