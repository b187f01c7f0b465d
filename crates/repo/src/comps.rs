//! Groups of packages: `comps.xml`, the part `group` of a repository.
//!
//! ```text
//! comps
//!   group          id, name, description, uservisible, default, packagelist
//!     packagereq   type="mandatory|default|optional|conditional" requires="..."
//!   environment    id, name, description, grouplist, optionlist, each with groupid
//! ```
//!
//! The format has no written standard; this reads what `createrepo_c --groupfile` puts into repositories.
//! Texts in other languages (`xml:lang`) are left out, and so is what nobody uses any more (categories, language
//! packs).

use crate::error::Result;
use crate::xml::{Cursor, Element};
use std::collections::{HashMap, HashSet};

const FILE: &str = "comps";
/// The most groups or environments.
const MAX_GROUPS: usize = 10_000;
/// The most packages of a group, or groups of an environment.
const MAX_MEMBERS: usize = 100_000;
/// The most packages of all groups, and groups of all environments, together.
const MAX_IN_ALL: usize = 200_000;

/// Groups and environments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Comps {
    /// Groups, in the order of the file.
    pub groups: Vec<Group>,
    /// Environments: groups of groups.
    pub environments: Vec<Environment>,
}

/// A group of packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Group {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Whether lists show it.
    pub visible: bool,
    /// Its packages.
    pub packages: Vec<Member>,
}

/// How a package belongs to a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Membership {
    /// The group is nothing without it.
    Mandatory,
    /// It comes unless somebody says otherwise.
    Default,
    /// It comes on request.
    Optional,
    /// It comes if this other package is there.
    Conditional(String),
}

/// A package of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// How it belongs to the group.
    pub membership: Membership,
}

/// A group of groups.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Ids of the groups that it consists of.
    pub groups: Vec<String>,
    /// Ids of groups that go with it on request.
    pub options: Vec<String>,
}

impl Comps {
    /// Adds those of another repository. Of a group that both have, texts stay and packages add up.
    pub fn join(&mut self, other: Self) {
        let mut places: HashMap<String, usize> =
            self.groups.iter().enumerate().rev().map(|(at, group)| (group.id.clone(), at)).collect();
        // The names of a group are looked at only if something is added to it.
        let mut members: HashMap<usize, HashSet<String>> = HashMap::new();
        for group in other.groups {
            let Some(&at) = places.get(&group.id) else {
                places.insert(group.id.clone(), self.groups.len());
                self.groups.push(group);
                continue;
            };
            let known = &mut self.groups[at].packages;
            let names = members.entry(at).or_insert_with(|| known.iter().map(|m| m.name.clone()).collect());
            known.extend(group.packages.into_iter().filter(|member| names.insert(member.name.clone())));
        }
        let mut known: HashSet<String> = self.environments.iter().map(|e| e.id.clone()).collect();
        self.environments.extend(other.environments.into_iter().filter(|e| known.insert(e.id.clone())));
    }
}

/// Reads the decompressed file.
pub fn parse(bytes: &[u8]) -> Result<Comps> {
    let (mut cursor, _root) = Cursor::open_typed(FILE, bytes, "comps")?;
    let mut comps = Comps::default();
    let mut members = 0;
    while let Some(element) = cursor.child()? {
        if comps.groups.len() + comps.environments.len() == MAX_GROUPS {
            return Err(cursor.error(format!("more than {MAX_GROUPS} groups")));
        }
        match element.name() {
            "group" => {
                let group = group(&mut cursor)?;
                members += group.packages.len();
                comps.groups.push(group);
            }
            "environment" => {
                let environment = environment(&mut cursor)?;
                members += environment.groups.len() + environment.options.len();
                comps.environments.push(environment);
            }
            _ => cursor.skip()?,
        }
        if members > MAX_IN_ALL {
            return Err(cursor.error(format!("groups of more than {MAX_IN_ALL} packages together")));
        }
    }
    cursor.finish()?;
    Ok(comps)
}

fn group(cursor: &mut Cursor<'_>) -> Result<Group> {
    let mut group = Group { visible: true, ..Group::default() };
    while let Some(element) = cursor.child()? {
        match element.name() {
            "id" => group.id = word(cursor, &element)?,
            "name" => own(cursor, &element, &mut group.name)?,
            "description" => own(cursor, &element, &mut group.description)?,
            "uservisible" => group.visible = word(cursor, &element)? != "false",
            "packagelist" => {
                while let Some(element) = cursor.child()? {
                    if element.name() != "packagereq" {
                        cursor.skip()?;
                        continue;
                    }
                    if group.packages.len() == MAX_MEMBERS {
                        return Err(cursor.error(format!("a group of more than {MAX_MEMBERS} packages")));
                    }
                    let requires = cursor.attr(&element, "requires")?.unwrap_or_default().into_owned();
                    // Without a type it is mandatory, as dnf reads it.
                    let membership = match cursor.attr(&element, "type")?.as_deref() {
                        Some("default") => Membership::Default,
                        Some("optional") => Membership::Optional,
                        Some("conditional") => Membership::Conditional(requires),
                        _ => Membership::Mandatory,
                    };
                    let name = word(cursor, &element)?;
                    if !name.is_empty() {
                        group.packages.push(Member { name, membership });
                    }
                }
            }
            _ => cursor.skip()?,
        }
    }
    if group.id.is_empty() {
        return Err(cursor.error("a group without `id`"));
    }
    Ok(group)
}

fn environment(cursor: &mut Cursor<'_>) -> Result<Environment> {
    let mut environment = Environment::default();
    while let Some(element) = cursor.child()? {
        match element.name() {
            "id" => environment.id = word(cursor, &element)?,
            "name" => own(cursor, &element, &mut environment.name)?,
            "description" => own(cursor, &element, &mut environment.description)?,
            "grouplist" => ids(cursor, &mut environment.groups)?,
            "optionlist" => ids(cursor, &mut environment.options)?,
            _ => cursor.skip()?,
        }
    }
    if environment.id.is_empty() {
        return Err(cursor.error("an environment without `id`"));
    }
    Ok(environment)
}

fn ids(cursor: &mut Cursor<'_>, into: &mut Vec<String>) -> Result<()> {
    while let Some(element) = cursor.child()? {
        if element.name() == "groupid" {
            if into.len() == MAX_MEMBERS {
                return Err(cursor.error(format!("an environment of more than {MAX_MEMBERS} groups")));
            }
            into.push(word(cursor, &element)?);
        } else {
            cursor.skip()?;
        }
    }
    Ok(())
}

fn word<'a>(cursor: &mut Cursor<'a>, element: &Element<'a>) -> Result<String> {
    Ok(cursor.text(element)?.trim().to_owned())
}

/// A text in the language that has no name; others are left out.
fn own<'a>(cursor: &mut Cursor<'a>, element: &Element<'a>, into: &mut String) -> Result<()> {
    let translated = cursor.attr(element, "xml:lang")?.is_some();
    let text = word(cursor, element)?;
    if !translated {
        *into = text;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE comps PUBLIC "-//Red Hat, Inc.//DTD Comps info//EN" "comps.dtd">
<comps>
  <group>
    <id>web</id>
    <name>Web Server</name>
    <name xml:lang="de">Webserver</name>
    <description>Serves &amp; proxies.</description>
    <default>true</default>
    <uservisible>true</uservisible>
    <packagelist>
      <packagereq type="mandatory">nginx</packagereq>
      <packagereq type="default">nginx-mod</packagereq>
      <packagereq type="optional">goaccess</packagereq>
      <packagereq type="conditional" requires="vim">nginx-vim</packagereq>
      <packagereq>base</packagereq>
    </packagelist>
  </group>
  <category><id>x</id><grouplist><groupid>web</groupid></grouplist></category>
  <environment>
    <id>server</id><name>Server</name><description/>
    <grouplist><groupid>web</groupid></grouplist>
    <optionlist><groupid default="true">more</groupid></optionlist>
  </environment>
</comps>
"#;

    #[test]
    fn groups_and_environments_are_read() {
        let comps = parse(TEXT.as_bytes()).expect("comps");
        let web = &comps.groups[0];
        assert_eq!((&*web.id, &*web.name, &*web.description), ("web", "Web Server", "Serves & proxies."));
        let of = |name: &str| &web.packages.iter().find(|m| m.name == name).expect(name).membership;
        assert_eq!(of("nginx-mod"), &Membership::Default);
        assert_eq!(of("nginx-vim"), &Membership::Conditional("vim".into()));
        assert_eq!(of("base"), &Membership::Mandatory);
        assert_eq!(comps.environments[0].groups, ["web"]);
        assert_eq!(comps.environments[0].options, ["more"]);
    }

    #[test]
    fn the_same_group_of_two_repositories_is_one() {
        let mut comps = parse(TEXT.as_bytes()).expect("comps");
        let more = "<comps><group><id>web</id><name>Other</name><packagelist><packagereq>caddy</packagereq>\
                    <packagereq>nginx</packagereq></packagelist></group></comps>";
        comps.join(parse(more.as_bytes()).expect("comps"));
        assert_eq!(comps.groups.len(), 1);
        assert_eq!(comps.groups[0].name, "Web Server");
        assert_eq!(comps.groups[0].packages.len(), 6);
    }

    #[test]
    fn groups_together_are_limited_and_large_ones_are_joined_soon() {
        let group = |id: &str, prefix: &str, count: usize| {
            let members: String =
                (0..count).map(|n| format!("<packagereq>{prefix}{n}</packagereq>")).collect();
            format!("<group><id>{id}</id><packagelist>{members}</packagelist></group>")
        };
        let file = |groups: &[String]| format!("<comps>{}</comps>", groups.concat()).into_bytes();
        let most = [group("a", "x", 100_000), group("b", "x", 100_000)];
        parse(&file(&most)).expect("as many as there may be");
        let more = [&most[..], &[group("c", "x", 1)]].concat();
        let error = parse(&file(&more)).expect_err("one more").to_string();
        assert!(error.contains("200000"), "{error}");
        // Name by name against name this would be 10^10 comparisons.
        let mut comps = parse(&file(&[group("a", "x", 100_000)])).expect("comps");
        comps.join(parse(&file(&[group("a", "y", 100_000)])).expect("comps"));
        assert_eq!(comps.groups[0].packages.len(), 200_000);
        // A group twice in one file is one as well.
        let mut comps = Comps::default();
        comps.join(parse(&file(&[group("a", "x", 2), group("a", "x", 3)])).expect("comps"));
        assert_eq!((comps.groups.len(), comps.groups[0].packages.len()), (1, 3));
    }

    #[test]
    fn a_document_type_that_declares_something_is_refused() {
        for bad in [
            "<!DOCTYPE comps [<!ENTITY a \"b\">]><comps/>",
            "<!DOCTYPE comps SYSTEM \"a\"><!DOCTYPE comps SYSTEM \"b\"><comps/>",
            "<comps><!DOCTYPE comps [<!ENTITY a \"b\">]></comps>",
            "<comps><group><name>x</name></group></comps>",
            "<packages/>",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
