//! Tags of RPM headers, and the types that their values have.

#![allow(missing_docs)] // The names are RPM's own; a sentence for each would say nothing more.

/// The type of a header entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Null = 0,
    Char = 1,
    Int8 = 2,
    Int16 = 3,
    Int32 = 4,
    Int64 = 5,
    String = 6,
    Bin = 7,
    StringArray = 8,
    I18nString = 9,
}

impl Type {
    /// From its number in a header.
    pub fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            0 => Self::Null,
            1 => Self::Char,
            2 => Self::Int8,
            3 => Self::Int16,
            4 => Self::Int32,
            5 => Self::Int64,
            6 => Self::String,
            7 => Self::Bin,
            8 => Self::StringArray,
            9 => Self::I18nString,
            _ => return None,
        })
    }

    /// Size of one value in bytes, which is also its alignment; 1 for strings and binary data.
    pub fn width(self) -> usize {
        match self {
            Self::Int16 => 2,
            Self::Int32 => 4,
            Self::Int64 => 8,
            _ => 1,
        }
    }
}

macro_rules! tags {
    ($($name:ident = $number:literal,)*) => {
        $(pub const $name: u32 = $number;)*
        /// The name of a tag, for messages.
        pub fn name(tag: u32) -> Option<&'static str> {
            match tag {
                $($number => Some(stringify!($name)),)*
                _ => None,
            }
        }
    };
}

/// Tags of the signature header that have other meanings in the main header.
pub mod sig {
    pub const SIZE: u32 = 1000;
    pub const MD5: u32 = 1004;
    pub const PAYLOADSIZE: u32 = 1007;
    pub const FILESIGNATURES: u32 = 274;
    pub const FILESIGNATURELENGTH: u32 = 275;
    pub const RESERVEDSPACE: u32 = 1008;
}

tags! {
    HEADERIMAGE = 61,
    HEADERSIGNATURES = 62,
    HEADERIMMUTABLE = 63,
    HEADERI18NTABLE = 100,
    SIGSIZE = 257,
    SIGMD5 = 261,
    PUBKEYS = 266,
    DSAHEADER = 267,
    RSAHEADER = 268,
    SHA1HEADER = 269,
    LONGSIGSIZE = 270,
    LONGARCHIVESIZE = 271,
    SHA256HEADER = 273,
    VERITYSIGNATURES = 276,
    VERITYSIGNATUREALGO = 277,
    OPENPGP = 278,
    SHA3_256HEADER = 279,
    NAME = 1000,
    VERSION = 1001,
    RELEASE = 1002,
    EPOCH = 1003,
    SUMMARY = 1004,
    DESCRIPTION = 1005,
    BUILDTIME = 1006,
    BUILDHOST = 1007,
    INSTALLTIME = 1008,
    SIZE = 1009,
    VENDOR = 1011,
    LICENSE = 1014,
    PACKAGER = 1015,
    GROUP = 1016,
    URL = 1020,
    OS = 1021,
    ARCH = 1022,
    PREIN = 1023,
    POSTIN = 1024,
    PREUN = 1025,
    POSTUN = 1026,
    FILESIZES = 1028,
    FILESTATES = 1029,
    FILEMODES = 1030,
    FILERDEVS = 1033,
    FILEMTIMES = 1034,
    FILEDIGESTS = 1035,
    FILELINKTOS = 1036,
    FILEFLAGS = 1037,
    FILEUSERNAME = 1039,
    FILEGROUPNAME = 1040,
    SOURCERPM = 1044,
    FILEVERIFYFLAGS = 1045,
    ARCHIVESIZE = 1046,
    PROVIDENAME = 1047,
    REQUIREFLAGS = 1048,
    REQUIRENAME = 1049,
    REQUIREVERSION = 1050,
    CONFLICTFLAGS = 1053,
    CONFLICTNAME = 1054,
    CONFLICTVERSION = 1055,
    RPMVERSION = 1064,
    TRIGGERSCRIPTS = 1065,
    TRIGGERNAME = 1066,
    TRIGGERVERSION = 1067,
    TRIGGERFLAGS = 1068,
    TRIGGERINDEX = 1069,
    VERIFYSCRIPT = 1079,
    CHANGELOGTIME = 1080,
    CHANGELOGNAME = 1081,
    CHANGELOGTEXT = 1082,
    PREINPROG = 1085,
    POSTINPROG = 1086,
    PREUNPROG = 1087,
    POSTUNPROG = 1088,
    OBSOLETENAME = 1090,
    VERIFYSCRIPTPROG = 1091,
    TRIGGERSCRIPTPROG = 1092,
    COOKIE = 1094,
    FILEDEVICES = 1095,
    FILEINODES = 1096,
    FILELANGS = 1097,
    INSTPREFIXES = 1099,
    PROVIDEFLAGS = 1112,
    PROVIDEVERSION = 1113,
    OBSOLETEFLAGS = 1114,
    OBSOLETEVERSION = 1115,
    DIRINDEXES = 1116,
    BASENAMES = 1117,
    DIRNAMES = 1118,
    OPTFLAGS = 1122,
    PAYLOADFORMAT = 1124,
    PAYLOADCOMPRESSOR = 1125,
    PAYLOADFLAGS = 1126,
    INSTALLCOLOR = 1127,
    INSTALLTID = 1128,
    PLATFORM = 1132,
    FILECOLORS = 1140,
    FILECLASS = 1141,
    CLASSDICT = 1142,
    FILEDEPENDSX = 1143,
    FILEDEPENDSN = 1144,
    DEPENDSDICT = 1145,
    PRETRANS = 1151,
    POSTTRANS = 1152,
    PRETRANSPROG = 1153,
    POSTTRANSPROG = 1154,
    LONGFILESIZES = 5008,
    LONGSIZE = 5009,
    FILECAPS = 5010,
    FILEDIGESTALGO = 5011,
    PREINFLAGS = 5020,
    POSTINFLAGS = 5021,
    PREUNFLAGS = 5022,
    POSTUNFLAGS = 5023,
    PRETRANSFLAGS = 5024,
    POSTTRANSFLAGS = 5025,
    VERIFYSCRIPTFLAGS = 5026,
    TRIGGERSCRIPTFLAGS = 5027,
    ORDERNAME = 5035,
    ORDERVERSION = 5036,
    ORDERFLAGS = 5037,
    RECOMMENDNAME = 5046,
    RECOMMENDVERSION = 5047,
    RECOMMENDFLAGS = 5048,
    SUGGESTNAME = 5049,
    SUGGESTVERSION = 5050,
    SUGGESTFLAGS = 5051,
    SUPPLEMENTNAME = 5052,
    SUPPLEMENTVERSION = 5053,
    SUPPLEMENTFLAGS = 5054,
    ENHANCENAME = 5055,
    ENHANCEVERSION = 5056,
    ENHANCEFLAGS = 5057,
    ENCODING = 5062,
    FILETRIGGERSCRIPTS = 5066,
    FILETRIGGERSCRIPTPROG = 5067,
    FILETRIGGERSCRIPTFLAGS = 5068,
    FILETRIGGERNAME = 5069,
    FILETRIGGERINDEX = 5070,
    FILETRIGGERVERSION = 5071,
    FILETRIGGERFLAGS = 5072,
    TRANSFILETRIGGERSCRIPTS = 5076,
    TRANSFILETRIGGERSCRIPTPROG = 5077,
    TRANSFILETRIGGERSCRIPTFLAGS = 5078,
    TRANSFILETRIGGERNAME = 5079,
    TRANSFILETRIGGERINDEX = 5080,
    TRANSFILETRIGGERVERSION = 5081,
    TRANSFILETRIGGERFLAGS = 5082,
    FILETRIGGERPRIORITIES = 5084,
    TRANSFILETRIGGERPRIORITIES = 5085,
    FILESIGNATURES = 5090,
    FILESIGNATURELENGTH = 5091,
    PAYLOADSHA256 = 5092,
    PAYLOADSHA256ALGO = 5093,
    PAYLOADSHA256ALT = 5097,
    PREUNTRANS = 5103,
    POSTUNTRANS = 5104,
    PREUNTRANSPROG = 5105,
    POSTUNTRANSPROG = 5106,
    PREUNTRANSFLAGS = 5107,
    POSTUNTRANSFLAGS = 5108,
}
