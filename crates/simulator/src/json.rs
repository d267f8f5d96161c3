//! Writes JSON text by hand, so that member order, digits and escapes are what a generator wants them to be.

/// An object under construction. Members are written in the order of the calls.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    out: &'a mut String,
    empty: bool,
}

/// Writes one object into `out`.
pub(crate) fn object(out: &mut String, members: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    members(&mut Object { out, empty: true });
    out.push('}');
}

/// Writes an array; `item` writes the item of that index.
pub(crate) fn array(out: &mut String, len: usize, mut item: impl FnMut(usize, &mut String)) {
    out.push('[');
    for index in 0..len {
        if index > 0 {
            out.push(',');
        }
        item(index, out);
    }
    out.push(']');
}

impl Object<'_> {
    /// A member whose value is text.
    pub(crate) fn text(&mut self, name: &str, value: impl AsRef<str>) {
        string(self.name(name), value.as_ref());
    }

    /// A member whose value is JSON text already: a number with these digits, `true`, a string with these escapes.
    pub(crate) fn raw(&mut self, name: &str, value: impl AsRef<str>) {
        self.name(name).push_str(value.as_ref());
    }

    /// A member whose value is an object.
    pub(crate) fn object(&mut self, name: &str, members: impl FnOnce(&mut Object<'_>)) {
        object(self.name(name), members);
    }

    /// A member whose value is an array; `item` writes the item of that index.
    pub(crate) fn array(&mut self, name: &str, len: usize, item: impl FnMut(usize, &mut String)) {
        array(self.name(name), len, item);
    }

    /// A member whose value is an array of texts.
    pub(crate) fn texts(&mut self, name: &str, values: &[impl AsRef<str>]) {
        self.array(name, values.len(), |index, out| string(out, values[index].as_ref()));
    }

    /// All members of an object that is JSON text already, without white space around it.
    pub(crate) fn members(&mut self, object: &str) {
        let members = object.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        if members.is_empty() {
            return;
        }
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        self.out.push_str(members);
    }

    fn name(&mut self, name: &str) -> &mut String {
        if !self.empty {
            self.out.push(',');
        }
        self.empty = false;
        string(self.out, name);
        self.out.push(':');
        self.out
    }
}

/// Writes text between quotation marks; escapes what JSON demands and nothing else.
pub(crate) fn string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            plain => out.push(plain),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn members_keep_order_and_digits() {
        let mut out = String::new();
        object(&mut out, |o| {
            o.text("b", "x");
            o.raw("a", "1.50");
            o.object("c", |_| {});
            o.texts("d", &["1", "2"]);
            o.members("{}");
            o.members(r#"{"e":1,"f":2}"#);
            o.array("g", 0, |_, _| {});
        });
        assert_eq!(out, r#"{"b":"x","a":1.50,"c":{},"d":["1","2"],"e":1,"f":2,"g":[]}"#);
    }

    proptest! {
        #[test]
        fn a_parser_reads_the_same_text(text in any::<String>()) {
            let mut out = String::new();
            string(&mut out, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&out).unwrap(), text);
        }
    }
}
