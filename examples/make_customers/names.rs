//! Common given and family names, by language, and where their bearers write from. It must not know what records look
//! like, nor hold the name of anybody in particular.

use crate::pick;

/// Domains set aside for examples, two of them internationalised.
pub const MAIL_DOMAINS: &[&str] = &[
    "example.com",
    "example.org",
    "example.net",
    "mail.example.com",
    "shop.example.org",
    "bücher.example",
    "例え.example",
];

/// Whoever a record is about.
pub struct Person {
    pub full_name: String,
    /// Latin letters for the part of an address before the `@`.
    pub mailbox: String,
    /// ISO 3166 code.
    pub country: &'static str,
    /// International dialling prefix.
    pub dial: &'static str,
    /// Offsets from UTC that its systems write.
    pub offsets: &'static [&'static str],
}

/// One language: names as `native` or `native|latin`.
struct Language {
    country: &'static str,
    dial: &'static str,
    offsets: &'static [&'static str],
    given: &'static [&'static str],
    family: &'static [&'static str],
    order: Order,
}

#[derive(Clone, Copy)]
enum Order {
    GivenFirst,
    FamilyFirst,
    /// Family name first, nothing in between.
    Joined,
}

#[rustfmt::skip]
const LANGUAGES: &[Language] = &[
    Language { country: "GB", dial: "+44", offsets: &["Z", "+00:00", "+01:00"], order: Order::GivenFirst,
        given: &["Alice", "Ben", "Claire", "Daniel", "Emma", "George", "Hannah", "Oliver"],
        family: &["Baker", "Clarke", "Evans", "Hughes", "O'Neill", "Smith-Jones", "Turner", "Wood"] },
    Language { country: "US", dial: "+1", offsets: &["-05:00", "-08:00", "-10:00", "Z"], order: Order::GivenFirst,
        given: &["Ashley", "Brandon", "Carlos", "Denise", "Ethan", "Grace", "Jordan", "Megan"],
        family: &["Adams", "Brooks", "Carter", "Diaz", "Foster", "Nguyen", "Price", "St. James"] },
    Language { country: "FR", dial: "+33", offsets: &["+01:00", "+02:00"], order: Order::GivenFirst,
        given: &["Aurélie", "Benoît", "Chloé", "François", "Gaël", "Hélène", "Jean-Luc", "Noémie"],
        family: &["Bélanger", "D'Aubigné", "Fabre", "Lefèvre", "Le Goff", "Moreau", "Noël", "Rivière"] },
    Language { country: "DE", dial: "+49", offsets: &["+01:00", "+02:00"], order: Order::GivenFirst,
        given: &["Annika", "Björn", "Jörg", "Käthe", "Lukas", "Michaela", "Stefan", "Uwe"],
        family: &["Groß", "Hoffmann", "Jäger", "Köhler", "Müller", "Schröder", "von der Heide", "Weiß"] },
    Language { country: "MX", dial: "+52", offsets: &["-06:00", "-07:00"], order: Order::GivenFirst,
        given: &["Alejandra", "Andrés", "Begoña", "Iñaki", "José", "Lucía", "María José", "Raúl"],
        family: &["Álvarez Ruiz", "Castañeda", "Domínguez", "Fernández", "Ibáñez", "Muñoz", "Núñez Peña", "Ortega"] },
    Language { country: "BR", dial: "+55", offsets: &["-03:00", "-04:00"], order: Order::GivenFirst,
        given: &["Antônio", "Beatriz", "Conceição", "Fábio", "João", "Letícia", "Márcia", "Otávio"],
        family: &["Araújo", "Conceição", "da Silva", "dos Santos", "Falcão", "Gonçalves", "Magalhães", "Vilela"] },
    Language { country: "PL", dial: "+48", offsets: &["+01:00", "+02:00"], order: Order::GivenFirst,
        given: &["Agnieszka", "Bartłomiej", "Grażyna", "Jędrzej", "Łukasz", "Małgorzata", "Paweł", "Zofia"],
        family: &["Dąbrowski", "Gołębiewska", "Kowalczyk", "Łuczak", "Pawłowska", "Wiśniewski", "Wójcik", "Źrebiec"] },
    Language { country: "CZ", dial: "+420", offsets: &["+01:00", "+02:00"], order: Order::GivenFirst,
        given: &["Alžběta", "Bořivoj", "Jiří", "Kateřina", "Ondřej", "Růžena", "Šárka", "Václav"],
        family: &["Černá", "Dvořák", "Hruška", "Němcová", "Novák", "Růžička", "Šťastný", "Žáková"] },
    Language { country: "HU", dial: "+36", offsets: &["+01:00", "+02:00"], order: Order::FamilyFirst,
        given: &["Ágnes", "Béla", "Ferenc", "Győző", "Ildikó", "Lőrinc", "Réka", "Zsófia"],
        family: &["Bíró", "Csősz", "Fehér", "Horváth", "Kővári", "Nagy", "Szűcs", "Tóth"] },
    Language { country: "TR", dial: "+90", offsets: &["+03:00"], order: Order::GivenFirst,
        given: &["Ayşe", "Çağla", "Emre", "Gökhan", "İpek", "Oğuz", "Şebnem", "Yiğit"],
        family: &["Aydın", "Çelik", "Doğan", "Güneş", "Işık", "Öztürk", "Şahin", "Yıldız"] },
    Language { country: "IS", dial: "+354", offsets: &["Z", "+00:00"], order: Order::GivenFirst,
        given: &["Ásta", "Björk", "Eyþór", "Guðrún", "Hörður", "Sæunn", "Þórdís", "Ögmundur"],
        family: &["Ásgeirsdóttir", "Eiríksson", "Guðmundsdóttir", "Hallsson", "Jónsdóttir", "Ólafsson", "Þorláksson", "Ævarsson"] },
    Language { country: "VN", dial: "+84", offsets: &["+07:00"], order: Order::FamilyFirst,
        given: &["Bảo Ngọc", "Đức Anh", "Hồng Nhung", "Khánh Linh", "Minh Châu", "Quốc Việt", "Thuỳ Dương", "Xuân Trường"],
        family: &["Bùi", "Đặng", "Đỗ", "Hoàng", "Lê", "Nguyễn", "Phạm", "Trần"] },
    Language { country: "GR", dial: "+30", offsets: &["+02:00", "+03:00"], order: Order::GivenFirst,
        given: &["Αγγελική|angeliki", "Γιώργος|giorgos", "Δήμητρα|dimitra", "Ελένη|eleni", "Κώστας|kostas", "Νίκος|nikos"],
        family: &["Αντωνίου|antoniou", "Γεωργίου|georgiou", "Δημητρίου|dimitriou", "Νικολάου|nikolaou", "Παππάς|pappas"] },
    Language { country: "UA", dial: "+380", offsets: &["+02:00", "+03:00"], order: Order::GivenFirst,
        given: &["Богдан|bohdan", "Ганна|hanna", "Іван|ivan", "Наталія|nataliia", "Олена|olena", "Сергій|serhii"],
        family: &["Бондаренко|bondarenko", "Гончар|honchar", "Коваль|koval", "Мельник|melnyk", "Шевчук|shevchuk"] },
    Language { country: "BG", dial: "+359", offsets: &["+02:00", "+03:00"], order: Order::GivenFirst,
        given: &["Асен|asen", "Божидар|bozhidar", "Ивайло|ivaylo", "Мария|maria", "Щерьо|shteryo", "Юлия|yulia"],
        family: &["Ангелов|angelov", "Василева|vasileva", "Димитров|dimitrov", "Иванова|ivanova", "Петров|petrov"] },
    Language { country: "EG", dial: "+20", offsets: &["+02:00", "+03:00"], order: Order::GivenFirst,
        given: &["أحمد|ahmed", "خالد|khaled", "فاطمة|fatma", "ليلى|layla", "محمود|mahmoud", "نورا|noura"],
        family: &["إبراهيم|ibrahim", "حسن|hassan", "سالم|salem", "عبد الله|abdallah", "منصور|mansour"] },
    Language { country: "IL", dial: "+972", offsets: &["+02:00", "+03:00"], order: Order::GivenFirst,
        given: &["אורי|uri", "דנה|dana", "יעל|yael", "נועה|noa", "עמית|amit", "תמר|tamar"],
        family: &["אברהמי|avrahami", "ברק|barak", "כהן|cohen", "לוי|levi", "שרון|sharon"] },
    Language { country: "IR", dial: "+98", offsets: &["+03:30"], order: Order::GivenFirst,
        given: &["آرش|arash", "پریسا|parisa", "زهرا|zahra", "ژاله|zhaleh", "کیان|kian", "گلناز|golnaz"],
        family: &["احمدی|ahmadi", "پورمند|pourmand", "رضایی|rezaei", "کریمی|karimi", "می\u{200c}خواه|mikhah"] },
    Language { country: "IN", dial: "+91", offsets: &["+05:30"], order: Order::GivenFirst,
        given: &["अनिल|anil", "कविता|kavita", "दीपक|deepak", "प्रिया|priya", "रवि|ravi", "स्नेहा|sneha"],
        family: &["गुप्ता|gupta", "जोशी|joshi", "मिश्रा|mishra", "शर्मा|sharma", "सिंह|singh"] },
    Language { country: "NP", dial: "+977", offsets: &["+05:45"], order: Order::GivenFirst,
        given: &["गीता|gita", "निर्मल|nirmal", "बिनोद|binod", "सरिता|sarita"],
        family: &["अधिकारी|adhikari", "थापा|thapa", "भट्टराई|bhattarai", "श्रेष्ठ|shrestha"] },
    Language { country: "TH", dial: "+66", offsets: &["+07:00"], order: Order::GivenFirst,
        given: &["กานดา|kanda", "ชัยวัฒน์|chaiwat", "นภา|napha", "สมชาย|somchai", "อรุณ|arun"],
        family: &["แก้วใส|kaeosai", "ใจดี|chaidi", "ทองสุข|thongsuk", "ศรีสุข|srisuk", "สุขใจ|sukchai"] },
    Language { country: "JP", dial: "+81", offsets: &["+09:00"], order: Order::FamilyFirst,
        given: &["葵|aoi", "健太|kenta", "さくら|sakura", "翔|sho", "陽菜|hina", "ユウキ|yuki"],
        family: &["伊藤|ito", "佐々木|sasaki", "鈴木|suzuki", "髙橋|takahashi", "田中|tanaka", "渡邉|watanabe"] },
    Language { country: "CN", dial: "+86", offsets: &["+08:00"], order: Order::Joined,
        given: &["芳|fang", "静怡|jingyi", "丽|li", "伟|wei", "晓明|xiaoming", "宇轩|yuxuan", "𠮷|ji"],
        family: &["陈|chen", "李|li", "欧阳|ouyang", "王|wang", "张|zhang", "赵|zhao"] },
    Language { country: "KR", dial: "+82", offsets: &["+09:00"], order: Order::Joined,
        given: &["민준|minjun", "서연|seoyeon", "지우|jiwoo", "하은|haeun", "현우|hyunwoo"],
        family: &["강|kang", "김|kim", "박|park", "이|lee", "최|choi"] },
    Language { country: "GE", dial: "+995", offsets: &["+04:00"], order: Order::GivenFirst,
        given: &["გიორგი|giorgi", "ეკა|eka", "ნინო|nino", "ლევან|levan"],
        family: &["ბერიძე|beridze", "კაპანაძე|kapanadze", "მამულაშვილი|mamulashvili"] },
    Language { country: "ET", dial: "+251", offsets: &["+03:00"], order: Order::GivenFirst,
        given: &["ሀና|hana", "ሰላም|selam", "ዳዊት|dawit", "ጌታቸው|getachew"],
        family: &["ተስፋዬ|tesfaye", "አለሙ|alemu", "ከበደ|kebede"] },
    Language { country: "NG", dial: "+234", offsets: &["+01:00"], order: Order::GivenFirst,
        given: &["Adébáyọ̀", "Chidinma", "Ìyábọ̀", "Olúwaṣeun", "Ṣadé", "Tunde"],
        family: &["Adéyemí", "Balógun", "Ọláńrewájú", "Okafor", "Ọ̀ṣúnbùnmi"] },
    Language { country: "NZ", dial: "+64", offsets: &["+12:00", "+13:00", "+12:45"], order: Order::GivenFirst,
        given: &["Aroha", "Hēmi", "Kāhu", "Mārama", "Rangi", "Tāne"],
        family: &["Kōwhai", "Pōtae", "Rāwiri", "Te Ara", "Tūhoe", "Wharepapa"] },
    Language { country: "CA", dial: "+1", offsets: &["-03:30", "-04:00", "-07:00"], order: Order::GivenFirst,
        given: &["Étienne", "Geneviève", "Mathieu", "Maude", "Océane", "Zoë"],
        family: &["Bouchard", "Côté", "Gagné", "L'Heureux", "Tremblay-Roy"] },
    Language { country: "PF", dial: "+689", offsets: &["-09:30", "-10:00"], order: Order::GivenFirst,
        given: &["Heiʻura", "Manoa", "Teva", "Vaiana"],
        family: &["Maʻi", "Tehani", "Tērii", "Vahine"] },
    Language { country: "KI", dial: "+686", offsets: &["+14:00", "+13:00"], order: Order::GivenFirst,
        given: &["Boreta", "Ioane", "Nei Teretia", "Tiaon"],
        family: &["Kaitira", "Rimon", "Tekiree", "Uriam"] },
];

/// Somebody who might exist, the same one for the same number.
pub fn person(number: u64) -> Person {
    let at = usize::try_from(number % 997).unwrap_or(0) % LANGUAGES.len();
    let language = &LANGUAGES[at];
    let (given, given_latin) = written(pick(language.given, number / 997));
    let (family, family_latin) = written(pick(language.family, number / 997 / 61));
    let full_name = match language.order {
        Order::GivenFirst => format!("{given} {family}"),
        Order::FamilyFirst => format!("{family} {given}"),
        Order::Joined => format!("{family}{given}"),
    };
    Person {
        full_name,
        mailbox: format!("{given_latin}.{family_latin}"),
        country: language.country,
        dial: language.dial,
        offsets: language.offsets,
    }
}

/// A name and its Latin letters.
fn written(name: &'static str) -> (&'static str, String) {
    match name.split_once('|') {
        Some((native, latin)) => (native, latin.to_owned()),
        None => (
            name,
            name.to_lowercase().chars().filter_map(plain).collect(),
        ),
    }
}

/// The ASCII letter a Latin letter is usually typed as; nothing for spaces, apostrophes and combining marks.
fn plain(letter: char) -> Option<char> {
    Some(match letter {
        'a'..='z' | '-' => letter,
        'à'..='æ' | 'ā' | 'ă' | 'ą' | 'ả' | 'ạ' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'ď' | 'đ' | 'ð' => 'd',
        'è'..='ë' | 'ē' | 'ę' | 'ě' | 'ễ' | 'ệ' | 'ế' => 'e',
        'ğ' => 'g',
        'ì'..='ï' | 'ı' => 'i',
        'ł' => 'l',
        'ñ' | 'ń' | 'ň' => 'n',
        'ò'..='ö' | 'ø' | 'ō' | 'ő' | 'ọ' | 'ỗ' | 'ồ' => 'o',
        'ř' => 'r',
        'ś' | 'š' | 'ş' | 'ß' | 'ṣ' => 's',
        'ť' | 'þ' => 't',
        'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ư' | 'ờ' => 'u',
        'ý' | 'ỳ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        _ => return None,
    })
}
